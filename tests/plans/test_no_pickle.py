"""A plan, its devices, its documents and the simulated hardware pickle nothing."""

from __future__ import annotations

from no_pickle import watched
from operando.plans.documents import DocumentPublisher
from operando.plans.engine import make_engine, run_safely
from operando.plans.operando_tomography import operando_tomography
from operando.stream.messages import Document
from operando.stream.packing import pack, unpack


def test_a_plan_from_its_start_document_to_its_stop_calls_no_pickle(beamline):
    sent = []
    with watched() as seen:
        line = beamline()
        cell, stage, detector = line.potentiostat(), line.stage(), line.detector()
        engine = make_engine([DocumentPublisher(sent.append)])
        plan = operando_tomography(
            cell, stage, detector, [{"capacity_ah": 2e-6}], current_a=-8e-6, cutoff_v=3.0,
            angles=4, translations=8, relaxation_s=600.0, exposure_s=0.002, dwell_s=0.0,
        )  # fmt: skip
        run_safely(engine, plan, cell)
        for message in sent:
            assert unpack([bytes(part) for part in pack(message)]) == message
    assert seen.calls == []
    names = [message.name for message in sent if isinstance(message, Document)]
    assert (names[0], names[-1]) == ("start", "stop")
    assert len(line.of_stream("Frame")) == 32
