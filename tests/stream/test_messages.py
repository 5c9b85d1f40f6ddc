"""What messages say about themselves."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from operando.stream.messages import Account, Axis, Focus, GroupAccount, Message, Trajectory


def test_every_message_is_a_frozen_slotted_value():
    for cls in Message.__args__:
        assert dataclasses.is_dataclass(cls)
        assert cls.__dataclass_params__.frozen
        assert hasattr(cls, "__slots__")


def test_a_message_cannot_be_changed():
    focus = Focus("s", 1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        focus.row = 3  # type: ignore[misc]


def test_an_axis_is_found_by_name_and_a_missing_one_named_with_those_there_are():
    rotation = Axis("rotation", "deg", np.zeros(3))
    trajectory = Trajectory((3,), (rotation,))
    assert trajectory.axis("rotation") is rotation
    with pytest.raises(KeyError, match=r"no axis 'x'.*\['rotation'\]"):
        trajectory.axis("x")


def test_a_group_that_has_not_reported_has_an_empty_account():
    record = GroupAccount("record", 3, {})
    account = Account("r", "s", 1, 4, 3, 0, {3: "never arrived"}, (record,), False)
    assert account.group("record") is record
    assert account.group("process") == GroupAccount("process", 0, {})
