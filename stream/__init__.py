"""What moves: messages, channels, receivers of vendor streams, the recorder, the replayer."""
