"""What requests and answers look like, form by form.

Sources: the public API references of Cohere (v1, v2) and Jina, infinity's ``/docs`` and the OpenAPI description of
text-embeddings-inference. Fields of those that do not apply here (``priority``, ``max_chunks_per_doc``, ...) are
accepted and without effect, as any unknown field is. ``raw_scores`` and ``model`` are taken everywhere.
"""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag


def _whole(value: Any) -> Any:
    """Take 3.0 for 3: JSON has one kind of number, and JSON Schema calls both an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Texts = Annotated[list[str], Field(min_length=1)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_whole)]


class Received(BaseModel):
    """A request's body. Types are not converted: a number is no text, and "3" no number."""

    model_config = ConfigDict(strict=True)


class Rerank(Received):
    """What every form asks with."""

    query: str = Field(description="What the documents are ranked for.")
    model: str | None = Field(None, description="Name of a model; the default one when left out.")
    raw_scores: bool = Field(False, description="Answer logits instead of scores between 0 and 1.")


class TextDocument(BaseModel):
    """A document as an object; its other fields come back with it."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, JsonValue] = Field(init=False)

    text: str

    def content(self, fields: list[str] | None) -> str:
        """Return what the model reads: the texts of the named fields, joined by spaces; ``text`` if there are none."""
        known = {**(self.model_extra or {}), "text": self.text}
        texts = [value for name in fields or () if isinstance(value := known.get(name), str)]
        return " ".join(texts) or self.text


class CohereV1OrJina(Rerank):
    """``/v1/rerank``: Cohere v1 and Jina at once."""

    documents: Annotated[list[str | TextDocument], Field(min_length=1)]
    top_n: Count | None = Field(None, description="Answer the best so many; all by default.")
    rank_fields: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="Of documents that are objects, the fields that are read (Cohere); text by default."
    )
    return_documents: bool | None = Field(None, description="Default true, as with Jina; Cohere's clients say it.")
    truncation: bool | None = Field(None, description="false: refuse what is longer than the model reads (Jina).")


class CohereV2(Rerank):
    """``/v2/rerank``."""

    documents: Texts
    top_n: Count | None = Field(None, description="Answer the best so many; all by default.")
    max_tokens_per_doc: Count | None = Field(None, description="Read only the first so many tokens of a document.")


class Infinity(Rerank):
    """``/rerank`` with ``documents``: infinity."""

    documents: Texts
    top_n: Count | None = Field(None, description="Answer the best so many; all by default.")
    return_documents: bool = False


class Tei(Rerank):
    """``/rerank`` with ``texts``: text-embeddings-inference."""

    texts: Texts
    return_text: bool = False
    truncate: bool | None = Field(None, description="false: refuse what is longer than the model reads.")
    truncation_direction: Literal["Right", "right"] = "Right"


def which_form(body: Any) -> str | None:
    """Tell the two forms of ``/rerank`` apart; None for neither, and for both at once."""
    keys = set(body) if isinstance(body, dict) else {name for name in ("documents", "texts") if hasattr(body, name)}
    found = keys & {"documents", "texts"}
    return found.pop() if len(found) == 1 else None


InfinityOrTei = Annotated[
    Annotated[Infinity, Tag("documents")] | Annotated[Tei, Tag("texts")],
    Discriminator(
        which_form,
        custom_error_type="form",
        custom_error_message="give either documents (infinity) or texts (text-embeddings-inference)",
    ),
]

PairOfTexts = Annotated[list[str], Field(min_length=2, max_length=2)]
OneOrTwoTexts = Annotated[list[str], Field(min_length=1, max_length=2)]


class Predict(Received):
    """``/predict``: text-embeddings-inference."""

    inputs: str | PairOfTexts | Annotated[list[OneOrTwoTexts], Field(min_length=1)] = Field(
        description="A text, a pair of texts, or a batch: lists of one or two texts each."
    )
    model: str | None = Field(None, description="Name of a model; the default one when left out.")
    raw_scores: bool = Field(False, description="Answer logits instead of probabilities.")
    truncate: bool | None = Field(None, description="false: refuse what is longer than the model reads.")
    truncation_direction: Literal["Right", "right"] = "Right"


class Usage(BaseModel):
    """Tokens that the model read."""

    prompt_tokens: int
    total_tokens: int


class Result(BaseModel):
    """A document's place is its place in the list; ``index`` is where it stood in the request."""

    index: int = Field(ge=0)
    relevance_score: float


class ResultWithObject(Result):
    """With the document as an object (Cohere v1, Jina)."""

    document: TextDocument | None = None


class ResultWithText(Result):
    """With the document as a text (infinity)."""

    document: str | None = None


class CohereV1OrJinaAnswer(BaseModel):
    """Best first."""

    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    object: Literal["list"] = "list"
    model: str
    results: list[ResultWithObject]
    usage: Usage
    meta: dict[str, Any] = Field(default_factory=lambda: {"api_version": {"version": "1"}})


class CohereV2Answer(BaseModel):
    """Best first."""

    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    results: list[Result]
    meta: dict[str, Any] = Field(default_factory=lambda: {"api_version": {"version": "2"}})


class InfinityAnswer(BaseModel):
    """Best first."""

    object: Literal["rerank"] = "rerank"
    id: str = Field(default_factory=lambda: uuid.uuid4().hex)
    created: int = Field(default_factory=lambda: int(time.time()))
    model: str
    results: list[ResultWithText]
    usage: Usage


class TeiRank(BaseModel):
    """A place in the ranking of text-embeddings-inference, best first."""

    index: int = Field(ge=0)
    score: float
    text: str | None = None


class Prediction(BaseModel):
    """A label and its probability (or logit, or the number of a regression)."""

    label: str
    score: float


class ErrorAnswer(BaseModel):
    """Why a request was not answered: one sentence, under the name that each form's clients read."""

    error: str
    error_type: str
    message: str
    detail: str
