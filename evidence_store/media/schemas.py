"""The JSON of media: what a file says of itself, checked as anything from outside is."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from evidence_store.media.model import PLACE_SAYS, Place

_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)?$"


class Where(BaseModel):
    """A place, WGS 84."""

    model_config = ConfigDict(extra="forbid")

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    within_metres: float | None = Field(None, ge=0, le=1e7, description="How exact it is, as the camera says")


class Facts(BaseModel):
    """What the file says; a claim, never proof: clocks are wrong and everything in a file can be edited."""

    model_config = ConfigDict(extra="forbid")

    taken_at: str | None = Field(
        None, pattern=_TIME, description="As the camera's clock had it; without an offset its time zone is not known"
    )
    camera: str | None = Field(None, max_length=100)
    where: Where | None = None
    place: Place = Place.NOTHING
    width: int | None = Field(None, ge=0, le=1 << 32)
    height: int | None = Field(None, ge=0, le=1 << 32)
    seconds: float | None = Field(None, ge=0, le=1e9)


class MediaAnswer(BaseModel):
    """What is known of a picture, film, sound or document by looking into it."""

    state: Literal["waiting", "done", "none"] = Field(
        description="`waiting`: not looked into yet; `none`: this kind, or what is in quarantine, never is"
    )
    picture: bool = Field(description="GET …/preview has a picture")
    playable: bool = Field(description="GET …/preview/playable makes something to play")
    says: str = Field(description="Why there is no preview, in a sentence; empty when there is one")
    facts: Facts | None
    place_says: str = Field(description="What is known of the place, in a sentence; empty without facts")

    @staticmethod
    def place_words(facts: Facts | None) -> str:
        """Return the sentence about the place."""
        return PLACE_SAYS[facts.place] if facts else ""
