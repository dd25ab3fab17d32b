"""What a run looks like at a moment, in words and numbers."""

from __future__ import annotations

from autosteer.contracts import Decision
from autosteer.service.session import Session
from autosteer.steering.agent import Agent
from autosteer.steering.events import (
    Action,
    Announce,
    Finish,
    Measured,
    RequestApproval,
    Submit,
)
from autosteer.steering.observer import ShotCounters
from autosteer.steering.sorting import ShotSorter


def figures(session: Session) -> list[tuple[str, str]]:
    """List the numbers that describe a run at this moment.

    Parameters
    ----------
    session : Session
        The run.

    Returns
    -------
    list of (str, str)
        Labels and values.
    """
    if session.agent is None:
        return []
    controller = session.agent.controller
    observer, shots = controller.observer, controller.observer.shots
    seconds = (observer.t_newest_shot_ns - observer.t_first_shot_ns) / 1e9
    rows = [
        ("time", f"{seconds:.1f} s   shots {shots.analysed}   {shots.rate_hz:.1f} Hz"),
        ("analysis", _analysis(session, shots)),
        ("latency", _latencies(session)),
        ("setting", _setting(session)),
    ]
    if observer.sorter is not None:
        rows.append(("sorted", _bins(observer.sorter)))
    decision = controller.last_decision
    if decision is not None:
        place = ", ".join(
            f"{name} {value:.4g}" for name, value in decision.suggestion.knobs.items()
        )
        rows.append((f"decision {decision.number}", f"{decision.status}: {place}"))
        rows.append(("because", decision.suggestion.why))
    best = controller.policy.best
    if best is not None:
        name = session.experiment.objective.name
        front = f"   front of {len(best.front)} places" if len(best.front) > 1 else ""
        rows.append(("best", f"{name} {best.mean:.3g} +- {best.sd:.2g}{front}"))
    return rows


def _analysis(session: Session, shots: ShotCounters) -> str:
    """Say what the analysed shots have shown."""
    if not shots.analysed:
        return ""
    if session.experiment.source.kind != "sinograms":
        return (
            f"hits {shots.hits / shots.analysed:.1%}   indexed {shots.indexed / shots.analysed:.1%}"
        )
    text = f"pairs {shots.pairs / shots.analysed:.1%}   "
    text += f"abstained {shots.abstained / shots.analysed:.1%}"
    if shots.audited:
        text += f"   audit: {shots.disagreed} of {shots.audited} phases disagree"
    return text


def _bins(sorter: ShotSorter) -> str:
    """Say how full the bins are."""
    return "   ".join(
        f"{one.low:g} to {one.high:g}: {one.sorted}/{one.quota}" for one in sorter.bins
    )


def _latencies(session: Session) -> str:
    if session.agent is None:
        return ""
    controller = session.agent.controller
    result, decision = controller.observer.latency, controller.decision_latency
    text = f"result {result.quantile(0.5):.3f} s, p99 {result.quantile(0.99):.3f} s"
    if len(decision):
        text += f"   decision {decision.quantile(0.5):.3f} s, p99 {decision.quantile(0.99):.3f} s"
    return text if len(result) else ""


def _silence(session: Session, agent: Agent) -> str:
    """Name the producers outside of the run that have not been heard."""
    heard = {source for source, _ in agent.receiver.counters}
    silent = [
        f"{one.name} at {one.agent}"
        for one in session.experiment.source.producers
        if one.name not in heard
    ]
    return f": nothing is heard from {', '.join(silent)}" if silent else ""


def _setting(session: Session) -> str:
    agent = session.agent
    if agent is None:
        return ""
    controller = agent.controller
    current = controller.settings.current
    if controller.finished is not None:
        moving = [name for name, one in controller.observer.histories.items() if one.moving]
        rest = f"still moving: {', '.join(moving)}" if moving else "the knobs are at rest"
        return f"finished, {rest}"
    if controller.hold is not None:
        return f"holding: {controller.hold.reason}"
    if controller.approval is not None:
        return "waiting for approval: y or n, and Enter"
    if controller.moving is not None:
        return f"moving for decision {controller.moving.number}"
    if current is None:
        if controller.observer.t_first_shot_ns:
            return "knobs in motion"
        return f"waiting for shots{_silence(session, agent)}"
    estimate = current.outcome(final=False).estimates.get(session.experiment.objective.name)
    value = f": {estimate.mean:.3g} +- {estimate.sem:.2g}" if estimate else ""
    return f"{current.suggestion_id}, {current.n_shots} shots{value}"


def status_line(session: Session) -> str:
    """Describe a run at this moment in one line.

    Parameters
    ----------
    session : Session
        The run.

    Returns
    -------
    str
        The line.
    """
    return "   ".join(f"{label}: {value}" for label, value in figures(session)[:4] if value)


def introduction(session: Session) -> list[str]:
    """Say where things are, before the first shot.

    Parameters
    ----------
    session : Session
        The run.

    Returns
    -------
    list of str
        Lines.
    """
    lines = [f"run directory: {session.directory.path}"] if session.directory else []
    if session.channel_access:
        port = session.channel_access["EPICS_CA_SERVER_PORT"]
        device = next(iter(session.experiment.devices.values()))
        lines.append(
            "look at the motors: EPICS_CA_AUTO_ADDR_LIST=NO EPICS_CA_ADDR_LIST=127.0.0.1 "
            f"EPICS_CA_SERVER_PORT={port} caproto-get {device.prefix}.RBV"
        )
    return lines


def describe(action: Action, session: Session) -> str:
    """Say in one line what the controller asked for; empty for what nobody needs to read.

    Parameters
    ----------
    action : Action
        The action.
    session : Session
        The run.

    Returns
    -------
    str
        The line.
    """
    match action:
        case Announce():
            return f"{'' if action.level == 'info' else action.level + ': '}{action.text}"
        case Submit(decision) if decision.status != "refused":
            place = ", ".join(
                f"{key} {value:.4g}" for key, value in decision.suggestion.knobs.items()
            )
            verb = "go to" if decision.status == "accepted" else "suggests"
            return f"decision {decision.number}: {verb} {place} ({decision.suggestion.why})"
        case RequestApproval(decision):
            place = ", ".join(
                f"{key} {value:.4g}" for key, value in decision.suggestion.knobs.items()
            )
            return f"decision {decision.number}: may I go to {place}? y or n, and Enter"
        case Measured(outcome):
            name = session.experiment.objective.name
            estimate = outcome.estimates.get(name)
            if estimate is None:
                return ""
            return (
                f"measured {outcome.suggestion_id}: {name} {estimate.mean:.3g} "
                f"+- {estimate.sem:.2g} from {outcome.n_shots} shots"
            )
        case Finish():
            return f"{'finished' if action.ok else 'FAILED'}: {action.reason}"
        case _:
            return ""


def _place(decision: Decision) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in decision.suggestion.knobs.items())
