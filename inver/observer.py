"""What a process tells about its work: metrics for Prometheus and events for the log, from one observer."""

from __future__ import annotations

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from schemas.errors import Poison, Retryable
from streams.log import Record

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.records = Counter(
            "inver_records_total", "Records a stage has finished.", ["stage"], registry=self.registry
        )
        self.outputs = Counter(
            "inver_outputs_total", "Outputs of a stage, records set aside included.", ["stage"], registry=self.registry
        )
        self.batch_seconds = Histogram(
            "inver_batch_seconds",
            "Time from poll to commit of one batch.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.dead_letters = Counter(
            "inver_dead_letters_total", "Records set aside.", ["stage", "reason"], registry=self.registry
        )
        self.retries = Counter(
            "inver_retries_total", "Batches that had to wait for a dependency.", ["stage"], registry=self.registry
        )
        self.waiting = Gauge(
            "inver_stage_waiting", "1 while a stage waits for a dependency.", ["stage"], registry=self.registry
        )
        self.partitions_lost = Counter(
            "inver_partitions_lost_total",
            "Batches given up because another member owns their partitions.",
            ["stage"],
            registry=self.registry,
        )

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class PipelineObserver:
    """Turns what workers tell into metrics and log events, and remembers who is waiting, for readiness."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger("inver.pipeline")
        self._waiting: dict[str, str] = {}

    def waiting(self) -> dict[str, str]:
        """Return the stages that wait for a dependency, each with what it waits for."""
        return dict(self._waiting)

    def batch_done(self, stage: str, *, records: int, outputs: int, seconds: float) -> None:
        """Count a finished batch."""
        self._metrics.records.labels(stage).inc(records)
        self._metrics.outputs.labels(stage).inc(outputs)
        self._metrics.batch_seconds.labels(stage).observe(seconds)
        self.answered(stage)
        self._log.debug("stage.batch_done", stage=stage, records=records, outputs=outputs, seconds=round(seconds, 3))

    def answered(self, stage: str) -> None:
        """Note that what a stage waited for answers again."""
        if self._waiting.pop(stage, None) is not None:
            self._metrics.waiting.labels(stage).set(0)
            self._log.info("stage.resumed", stage=stage)

    def set_aside(self, stage: str, record: Record, poison: Poison) -> None:
        """Count and report a dead letter; never its text."""
        self._metrics.dead_letters.labels(stage, poison.reason).inc()
        self._log.warning(
            "stage.set_aside",
            stage=stage,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=poison.reason,
        )

    def retrying(self, stage: str, error: Retryable, *, attempt: int, wait_seconds: float) -> None:
        """Count a wait; report the first one and then every tenth."""
        self._metrics.retries.labels(stage).inc()
        self._metrics.waiting.labels(stage).set(1)
        self._waiting[stage] = str(error)
        if attempt % 10 == 0:
            self._log.warning(
                "stage.waiting", stage=stage, error=str(error), attempt=attempt, wait_seconds=round(wait_seconds, 2)
            )

    def partitions_lost(self, stage: str) -> None:
        """Count a batch given up in a rebalance."""
        self._metrics.partitions_lost.labels(stage).inc()
        self._log.info("stage.partitions_lost", stage=stage)
