"""What the window says: numbers with units, durations, and sentences about the run's health."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..stream.account_words import account_reasons, account_sums
from .model import RunModel, ScanRecord, is_cell_fault
from .plan_report import is_over as is_over
from .plan_report import number as number
from .scan_words import ended_early, taken_of

SILENT_AFTER_S = 3.5  # components report about once a second: three reports missed
_PROCESSOR = ("absorber", "processor", "process")


@dataclass(frozen=True, slots=True)
class Said:
    """level: "good", "active", "quiet", "warning" or "fault"; it becomes the colour."""

    text: str
    level: str = "quiet"


def duration(seconds: float) -> str:
    """Seconds as 0:41, 12:05 or 3:07:20; an en dash where there is no number."""
    if not math.isfinite(seconds) or seconds < 0:
        return "–"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, secs = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{secs:02d}" if hours else f"{minutes}:{secs:02d}"


def with_uncertainty(value: float, sigma: float, unit: str = "") -> str:
    """8.13424 and 0.00081 as 8.1342(8); the value alone where sigma says nothing."""
    tail = f" {unit}" if unit else ""
    if not math.isfinite(value):
        return "–"
    if not (math.isfinite(sigma) and sigma > 0):
        return f"{value:.5g}{tail}"
    digits = max(0, -math.floor(math.log10(sigma)))
    in_last = round(sigma * 10**digits)
    if in_last >= 10 and digits > 0:  # 0.00098 rounds to 10 in the last place
        digits, in_last = digits - 1, 1
    return f"{value:.{digits}f}({in_last}){tail}"


def size(octets: float) -> str:
    """Bytes in the largest unit that leaves a number of at least 1."""
    if not math.isfinite(octets):
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(octets) < 1000:
            return f"{octets:.0f} {unit}"
        octets /= 1000
    return f"{octets:.1f} TB"


def cell(model: RunModel) -> Said:
    """The cell's state in words: does current flow, is it safe?"""
    history = model.history
    if not len(history):
        return Said("NO CELL DATA YET")
    state, current = history.states[-1], float(history.current_a[-1])
    upper = state.upper()
    if is_cell_fault(state):
        known = {"LIMIT": "LIMIT REACHED", "DISCONNECTED": "POTENTIOSTAT DISCONNECTED"}
        return Said(known.get(upper, upper.replace("_", " ")), "fault")
    at_rest = "OCV" in upper or "PAUSE" in upper or "FINISH" in upper
    plan = model.status("plan")
    if at_rest and plan is not None and is_over(plan.state):
        word = next((w for w in ("FAILED", "STOPPED") if plan.state.upper().startswith(w)), "")
        return Said(f"AT OPEN CIRCUIT · RUN {word or 'FINISHED'}", "warning" if word else "good")
    if upper == "HOLD_POTENTIAL":
        return Said("HOLDING ITS SAFE POTENTIAL", "warning")
    if "OCV" in upper or "PAUSE" in upper:
        return Said("PAUSED AT OPEN CIRCUIT", "good")
    if at_rest:
        return Said("FINISHED, OPEN CIRCUIT", "good")
    if "RUN" in upper:
        if abs(current) < 1e-12:
            return Said("RUNNING, NO CURRENT", "active")
        return Said("DISCHARGING" if current < 0 else "CHARGING", "active")
    return Said(upper.replace("_", " "))


def trouble(model: RunModel) -> Said:
    """The connection in words: who has fallen silent, and for how long."""
    silence = model.silence_s()
    if math.isnan(silence):
        return Said("waiting for the first message from the hub", "warning")
    plan = model.status("plan")
    over = plan is not None and is_over(plan.state)
    ended = f"run {plan.state}" if plan is not None else ""
    level = "fault" if over and ended.startswith("run failed") else "good"
    if silence > SILENT_AFTER_S:
        if over:
            return Said(f"{ended}, hub closed", "fault" if level == "fault" else "quiet")
        return Said(f"no data from the hub for {_seconds(silence)}", "fault")
    short = model.plan.short(model.clock())
    if short:
        return Said(short[-1].text(), "fault")
    for name, heard in model.components.items():
        age = model.age_s(name)
        if age > SILENT_AFTER_S and not is_over(heard.status.state) and not over:
            who = "the processor" if name.startswith(_PROCESSOR) else name
            return Said(f"no data from {who} for {_seconds(age)}", "fault")
    for name, heard in model.components.items():
        for key in ("held", "warning"):
            if (said := str(heard.status.values.get(key, ""))) and not over:
                return Said(f"{name}: {said}", "warning")
    return Said(ended if over else "connected", level)


def _seconds(value: float) -> str:
    return f"{value:.0f} s" if value < 120 else duration(value)


def connected(model: RunModel) -> str:
    """Who is there: names, with workers of one kind counted."""
    kinds: dict[str, int] = {}
    for name, heard in model.components.items():
        if model.age_s(name) <= SILENT_AFTER_S and not is_over(heard.status.state):
            stem = name.rstrip("0123456789").rstrip("-_ ") or name
            kinds[stem] = kinds.get(stem, 0) + 1
    return ", ".join(k if n == 1 else f"{n} {k}s" for k, n in sorted(kinds.items())) or "nobody"


def lost(model: RunModel) -> Said:
    """Frames lost or failed, and frames that the detector took and that never came."""
    gone = model.lost()
    missing = sum(s.taken - s.arrived for s in model.plan.short(model.clock()))
    text = f"{gone}, {missing} not arrived" if missing else str(gone)
    return Said(text, "fault" if gone or missing else "good")


def lost_why(model: RunModel) -> str:
    """What is lost or failed and why, a line for each reason; "" where nothing is."""
    return "\n".join(
        f"scan {scan.number}, {line}"
        for scan in model.scans()
        if scan.account is not None
        for line in account_reasons(scan.account)
    )


def sums(model: RunModel) -> tuple[str, str]:
    """Both sums of the newest scan's account: where its frames are; empty before it has one."""
    scan = model.scan()
    if scan is None or scan.account is None:
        return "", ""
    announced, received = account_sums(scan.account).split("; ")
    return f"scan {scan.number}: {announced}", received


def cell_time(seconds: float) -> str:
    """A duration on the potentiostat's clock, which a simulation may run faster than the wall's."""
    return f"{duration(seconds)} of cell time"


def frames_per_s(model: RunModel) -> float:
    """Frames that enter the hub [1/s]; nan where nobody says."""
    hub = model.status("hub")
    if hub is None or model.age_s("hub") > SILENT_AFTER_S:
        return float("nan")
    return number(hub.values.get("frames_per_s"))


def lag_s(model: RunModel) -> float:
    """How far results stand behind the detector [s]: as reported, else waiting frames by rate."""
    reported = [number(v) for v in model.values("lag_s")]
    if reported:
        return max(reported)
    hub = model.status("hub")
    if hub is None:
        return float("nan")
    waiting, rate = number(hub.values.get("outstanding")), frames_per_s(model)
    if waiting == 0:
        return 0.0
    return waiting / rate if rate > 0 else float("nan")


def disk_free(model: RunModel) -> float:
    """Free bytes where the recorder writes; nan where nobody says."""
    return min((number(v) for v in model.values("disk_free_bytes")), default=float("nan"))


def marks(model: RunModel) -> int:
    """How many pauses the plan has; 0 where it does not say."""
    return model.plan.marks


def progress(model: RunModel) -> Said:
    """scan 2 of 5: 63 %, 0:41 left."""
    scan = model.scan()
    planned = marks(model)
    if scan is None:
        return Said(f"none yet, {planned} planned" if planned else "none yet")
    head = f"{scan.number} of {planned}" if planned >= scan.number else f"{scan.number}"
    if scan.stop is not None and scan.stop.reason != "complete":
        return Said(f"{head}: {scan.stop.reason}", "fault")
    share = scan.completeness()
    if share >= 1 or scan.stop is not None:
        closed = scan.account is not None and scan.account.closed
        how = f"ended early, {taken_of(scan)}" if ended_early(scan) else "complete"
        return Said(f"{head}: {how}" + (", account closed" if closed else ""), "good")
    left = remaining_s(model, scan)
    tail = f", {duration(left)} left" if math.isfinite(left) else ""
    return Said(f"{head}: {share:.0%}".replace("%", " %") + tail, "active")


def remaining_s(model: RunModel, scan: ScanRecord) -> float:
    """Time to the scan's end [s], as the plan says or by the present rate."""
    said = next((number(v) for v in model.values("remaining_s")), float("nan"))
    if math.isfinite(said):
        return said
    rate = frames_per_s(model)
    if scan.account is None or not rate > 0:
        return float("nan")
    return (scan.account.announced - scan.account.received) / rate


def empty_map(model: RunModel, scan: ScanRecord | None) -> str:
    """Why there is no map yet."""
    if math.isnan(model.silence_s()):
        return "waiting for the hub"
    if scan is None:
        planned = marks(model)
        return "waiting for the first scan" + (f"\n{planned} pauses are planned" if planned else "")
    if scan.start is None:
        return f"scan {scan.number}: joined while it runs,\nwaiting for its next map"
    grid = scan.start.trajectory.grid
    points = grid[-1] if grid else scan.start.frames
    done = scan.account.received if scan.account else 0
    if done < points:
        return f"waiting for the first projection:\n{done} of {points} points"
    return f"waiting for the first map:\n{done} of {scan.start.frames} frames are in"
