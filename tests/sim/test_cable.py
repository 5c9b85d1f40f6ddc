"""The cables between simulated hardware in several processes."""

from __future__ import annotations

import logging
import math
import socket
import struct
import subprocess
import sys
import threading

import pytest
from operando.sim.cable import AnsweringEnd, AskingEnd, InBeam, NobodyThere, PulseCable
from operando.sim.cell import CellMoment

SERVER = """
import sys, time
from operando.sim.cable import AnsweringEnd
AnsweringEnd(sys.argv[1], lambda numbers: (time.sleep(60.0),)).start()
print("up", flush=True)
time.sleep(60.0)
"""


@pytest.fixture(params=["ipc", "tcp"])
def address(request, tmp_path):
    if request.param == "ipc":
        return f"ipc://{tmp_path}/cable"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def asking(request):
    """AskingEnd(address, patience_s), or another end, that hangs up after the test."""

    def at(*how, end=AskingEnd):
        made = end(*how)
        request.addfinalizer(made.close)
        return made

    return at


@pytest.fixture
def answering(request):
    def at(address, answer):
        end = AnsweringEnd(address, answer)
        end.start()
        request.addfinalizer(end.stop)
        return end

    return at


def test_numbers_come_back_as_they_were_sent(address, answering, asking):
    answering(address, lambda numbers: numbers[::-1])
    line = asking(address, 60.0)
    for numbers in ((), (1.0,), (0.1, -0.0, 1e308), tuple(float(n) for n in range(255))):
        assert line.ask(*numbers) == numbers[::-1]
    line.close()
    assert line.ask(2.0) == (2.0,)


def test_many_threads_get_their_own_answers(address, answering, asking):
    answering(address, lambda numbers: (numbers[0] ** 2,))
    line, wrong = asking(address, 60.0), []

    def ask(first):
        numbers = map(float, range(first, first + 200))
        wrong.extend(number for number in numbers if line.ask(number) != (number**2,))

    threads = [threading.Thread(target=ask, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_stands_in_the_beam_goes_over_a_line(address, answering, asking):
    there = InBeam(CellMoment(12.5, -3e-6, 0.4321), 0.7, 90.0, -3.25)
    answering(address, lambda _: there.numbers())
    assert InBeam.of(asking(address, 60.0).ask()) == there
    for wrong in ((), (1.0,) * 5, (1.0,) * 7, (1.0, math.nan, 1.0, 1.0, 1.0, 1.0)):
        with pytest.raises(ValueError, match="6 finite numbers"):
            InBeam.of(wrong)


def test_pulses_to_nobody_fall_on_the_floor_and_the_next_detector_gets_the_next(
    address, answering, caplog, asking
):
    caplog.set_level(logging.WARNING)
    pulse = asking(address, end=PulseCable)
    assert [pulse(0.0, 0.0), pulse(0.0, 1.0)] == [False, False]
    assert caplog.text.count("on the floor") == 1
    taken = []
    first = answering(address, lambda place: (float(taken.append(place) is None),))
    assert pulse(1.0, 2.0)
    first.stop()
    assert not pulse(1.0, 3.0)
    answering(address, lambda place: (0.0,))
    assert not pulse(1.0, 4.0)  # it was heard, and not taken
    assert taken == [(1.0, 2.0)]


def test_a_pulse_waits_while_the_detector_has_no_room(address, answering, monkeypatch, asking):
    monkeypatch.setattr("operando.sim.cable.CONNECT_S", 0.2)
    room = threading.Event()
    answering(address, lambda place: (float(room.wait(60.0)),))
    threading.Timer(0.6, room.set).start()
    assert asking(address, end=PulseCable)(1.0, 2.0)


def test_an_end_that_is_killed_in_the_middle_of_a_question_is_noticed_at_once(address, asking):
    process = subprocess.Popen([sys.executable, "-c", SERVER, address], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    threading.Timer(0.3, process.kill).start()
    with pytest.raises(NobodyThere, match="no answer"):
        asking(address, 600.0).ask(1.0)
    process.wait()
    process.stdout.close()


def test_an_end_that_says_nothing_is_given_up_after_a_while(address, answering, asking):
    go = threading.Event()
    answering(address, lambda numbers: (float(go.wait(60)),))
    with pytest.raises(NobodyThere, match="no answer"):
        asking(address, 0.2).ask(1.0)
    go.set()


def test_what_is_no_question_is_refused_and_the_others_are_answered(address, answering, asking):
    def two(first, second):
        return (first + second,)

    answering(address, lambda numbers: two(*numbers))
    kind, where = address.split("://")
    family = socket.AF_UNIX if kind == "ipc" else socket.AF_INET
    host, _, port = where.rpartition(":")
    with socket.socket(family) as scanner:
        scanner.connect(where if kind == "ipc" else (host, int(port)))
        scanner.sendall(struct.pack("<B3d", 3, 1, 2, 3))
        assert scanner.recv(1) == b""  # hung up
    with socket.socket(family) as gone:
        gone.connect(where if kind == "ipc" else (host, int(port)))
        gone.sendall(b"\xff1234")
    assert asking(address, 60.0).ask(1.0, 2.0) == (3.0,)


@pytest.mark.parametrize(
    "address", ["", "ipc://", "http://a:1", "tcp://host", "tcp://:1", "tcp://h:x", "tcp://h:99999"]
)
def test_what_is_no_address_is_told(address, asking):
    with pytest.raises(ValueError, match="no address of a cable"):
        asking(address, 1.0)
    with pytest.raises(ValueError, match="no address of a cable"):
        AnsweringEnd(address, lambda numbers: numbers)


def test_the_socket_of_one_that_was_killed_is_taken_over_and_nothing_else(
    tmp_path, answering, asking
):
    ends = [f"ipc://{tmp_path}/{name}" for name in ("killed", "alive", "notes", "longer" * 40)]
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(f"{tmp_path}/killed")
        killed.listen()
    answering(ends[0], lambda numbers: (1.0,))
    assert asking(ends[0], 60.0).ask() == (1.0,)
    answering(ends[1], lambda numbers: (2.0,))
    (tmp_path / "notes").write_text("somebody's")
    for address in ends[1:]:
        with pytest.raises(OSError, match=address):
            AnsweringEnd(address, lambda numbers: numbers)
    assert asking(ends[1], 60.0).ask() == (2.0,)
    assert (tmp_path / "notes").read_text() == "somebody's"


def test_an_address_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=address):
            AnsweringEnd(address, lambda numbers: numbers)
