"""What checkin tells Prometheus beside the chassis' own metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.checkin.adapters.devices import DeviceCache
from services.checkin.application.queue import TapQueue


class CheckinMetrics:
    """The service's gauges and counters, on the registry given."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.partitions_ahead = Gauge(
            "hadir_checkin_partitions_ahead",
            "Months of taps whose partition is ready beyond the current one; alert below 2.",
            registry=registry,
        )
        self.device_feed_silence = Gauge(
            "hadir_checkin_device_feed_silence_seconds",
            "Seconds since auth's device feed was heard; revocations may be that old.",
            registry=registry,
        )
        self.queue_depth = Gauge("hadir_checkin_queue_depth", "Taps waiting for a commit.", registry=registry)
        self.queue_age = Gauge(
            "hadir_checkin_queue_age_seconds", "Age of the oldest waiting tap, seconds.", registry=registry
        )
        self.drain_rate = Gauge(
            "hadir_checkin_drain_rate", "Taps a second committed while busy, smoothed.", registry=registry
        )
        self.refused = Gauge(
            "hadir_checkin_refused", "Taps refused with a slot since the start.", registry=registry
        )
        self.devices_cached = Gauge(
            "hadir_checkin_devices_cached", "Verified certificates in memory.", registry=registry
        )
        self.revocations = Gauge("hadir_checkin_revocations", "Revoked devices in memory.", registry=registry)
        self.taps = Counter("hadir_checkin_taps", "Taps committed, repeats not counted.", registry=registry)

    def watch(self, queue: TapQueue, devices: DeviceCache) -> None:
        """Read these when Prometheus asks, not on a tap's path."""
        self.queue_depth.set_function(queue.depth)
        self.queue_age.set_function(queue.oldest_age)
        self.drain_rate.set_function(lambda: queue.slots.rate)
        self.refused.set_function(lambda: queue.refused)
        self.devices_cached.set_function(lambda: devices.sizes()[0])
        self.revocations.set_function(lambda: devices.sizes()[1])
