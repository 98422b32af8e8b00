"""Which requests for a service leave their answers in the served-row log, and what the columns of that log are called.

>>> LoggingConfig(sample_rate=0.1, retain="90d").retain.days
90
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from gnomon.definitions.base import check_duration, put
from gnomon.errors import DefinitionError

__all__ = [
    "AT",
    "DATA",
    "KNEW",
    "MODEL",
    "OWN",
    "PREDICTION",
    "REQUEST",
    "VERSION",
    "VIEWS",
    "LoggingConfig",
    "columns_of",
]

REQUEST, MODEL, PREDICTION = "request_id", "model_id", "prediction_id"
"""The columns of ids, texts."""
AT = "event_timestamp"
"""As of which instant an answer is; training sets take a column of that name for the instant of a row."""
DATA = "request_data"
"""What else came with the request, as JSON; null where nothing did."""
VIEWS = "views"
"""As JSON, which views the features are of, each with its fingerprint, and which columns are which of its columns."""
VERSION = "registry_version"
"""The version of the registry that the service was read in."""
KNEW = "known_through"
"""What the answer knew: the text of its token."""
OWN = (REQUEST, MODEL, PREDICTION, AT, DATA, VIEWS, VERSION, KNEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingConfig:
    """Which requests for a feature service are logged: of the share of them that is drawn, every row.

    Args:
        sample_rate: the share, above 0 and up to 1, which is all.
        retain: how long rows are kept at least: `gnomon log trim --served` lets older ones go. None is for ever.
        destination: None: the served-row log, which is the only place.

    Raises:
        DefinitionError: one of them cannot be followed.
    """

    sample_rate: float = 1.0
    retain: timedelta | None = None
    destination: InitVar[None] = None

    if TYPE_CHECKING:
        # What may be written, which is more than what is kept.
        def __init__(
            self, *, sample_rate: float = 1.0, retain: timedelta | str | None = None, destination: None = None
        ) -> None: ...

    def __post_init__(self, destination: object) -> None:
        rate = self.sample_rate
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= 1:
            raise DefinitionError(
                f"logging_config: sample_rate is {rate!r}.",
                hint="write a share above 0 and up to 1: 0.1 for a tenth; leave logging_config out for none.",
            )
        if destination is not None:
            raise DefinitionError(
                f"logging_config: destination is {destination!r:.80}.",
                instead="served rows go into gnomon's own log, whose files are Parquet.",
                hint="leave destination out; store.served('service') gives the rows.",
            )
        kept = None if self.retain is None else check_duration("logging_config", "retain", self.retain)
        if kept is not None and kept <= timedelta(0):
            raise DefinitionError(f"logging_config: retain is {self.retain!r}.", hint="leave it out for ever.")
        put(self, sample_rate=float(rate), retain=kept)


def columns_of(feature: str) -> tuple[str, str, str]:
    """The columns of a feature: its value, its status, the event time of its row.

    >>> columns_of("age")
    ('age', 'age__status', 'age__ts')
    """
    return feature, f"{feature}__status", f"{feature}__ts"
