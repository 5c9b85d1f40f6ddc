"""ophyd devices: area detector, potentiostat, stage; the same for hardware and simulation."""
