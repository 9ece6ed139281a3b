"""The routes: each reads one form, has it scored and answers in that form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from distilrank import __version__
from distilrank.serve import forms
from distilrank.serve.batching import Pair
from distilrank.serve.gate import App, Gate
from distilrank.serve.page import CONTENT_SECURITY_POLICY, PAGE
from distilrank.serve.refusals import Refusal
from distilrank.serve.scoring import Ranking
from distilrank.serve.service import Service

DESCRIPTION = "Ranks documents for a query, in the forms of Cohere, Jina, infinity and text-embeddings-inference."

PROBLEMS = {
    400: "The body is not JSON in UTF-8, or is nested too deep.",
    401: "No valid key.",
    404: "There is no model of that name.",
    408: "The body took too long to arrive.",
    413: "Too many or too long texts, or too long a body.",
    415: "The body is not said to be JSON.",
    422: "The body is not of this form, or the model is of another kind than the route.",
    429: "Too many requests; Retry-After says when to come back.",
    500: "The model failed.",
    503: "The server is stopping.",
    504: "There was no answer in time.",
}


def build_application(service: Service) -> App:
    """Return the ASGI application of a server."""
    api = FastAPI(title="distilrank", version=__version__, description=DESCRIPTION, docs_url=None, redoc_url=None)
    keyed = [Depends(HTTPBearer(auto_error=False))] if service.keys else []
    _add_rerank(api, service, keyed)
    _add_predict(api, service, keyed)
    _add_operations(api, service, keyed)
    _add_refusals(api)
    routes = [route for route in api.routes if isinstance(route, APIRoute)]
    return Gate(
        cast(App, api),
        paths=frozenset(route.path for route in routes) | {"/openapi.json"},
        with_body=frozenset(route.path for route in routes if "POST" in (route.methods or ())),
        settings=service.settings,
        keys=service.keys,
        metrics=service.metrics,
        log=service.log,
        leaving=lambda: service.leaving,
    )


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of these statuses."""
    return {status: {"model": forms.ErrorAnswer, "description": PROBLEMS[status]} for status in statuses}


def _add_rerank(api: FastAPI, service: Service, keyed: Sequence[Any]) -> None:
    rank = service.scoring.rank
    shared: dict[str, Any] = {
        "dependencies": keyed,
        "responses": _problems(*PROBLEMS),
        "response_model_exclude_none": True,
        "tags": ["rerank"],
    }

    @api.post("/v1/rerank", summary="Rank documents, as Cohere v1 and Jina do", **shared)
    async def rerank_v1(request: Request, body: forms.CohereV1OrJina) -> forms.CohereV1OrJinaAnswer:
        ranking = await rank(
            request,
            query=body.query,
            documents=[one if isinstance(one, str) else one.content(body.rank_fields) for one in body.documents],
            model=body.model,
            raw_scores=body.raw_scores,
            top_n=body.top_n,
            whole=body.truncation is False,
            count_tokens=True,
        )
        shown: list[forms.TextDocument | None] = [None] * len(body.documents)
        if body.return_documents is not False:
            shown = [forms.TextDocument(text=one) if isinstance(one, str) else one for one in body.documents]
        return forms.CohereV1OrJinaAnswer(
            model=ranking.model,
            results=[
                forms.ResultWithObject(index=index, relevance_score=score, document=shown[index])
                for index, score in ranking.places
            ],
            usage=_usage(ranking),
        )

    @api.post("/v2/rerank", summary="Rank documents, as Cohere v2 does", **shared)
    async def rerank_v2(request: Request, body: forms.CohereV2) -> forms.CohereV2Answer:
        ranking = await rank(
            request,
            query=body.query,
            documents=body.documents,
            model=body.model,
            raw_scores=body.raw_scores,
            top_n=body.top_n,
            max_tokens_per_doc=body.max_tokens_per_doc,
        )
        return forms.CohereV2Answer(
            results=[forms.Result(index=index, relevance_score=score) for index, score in ranking.places]
        )

    @api.post("/rerank", summary="Rank documents (as infinity does) or texts (as TEI does)", **shared)
    async def rerank(request: Request, body: forms.InfinityOrTei) -> forms.InfinityAnswer | list[forms.TeiRank]:
        if isinstance(body, forms.Tei):
            ranking = await rank(
                request,
                query=body.query,
                documents=body.texts,
                model=body.model,
                raw_scores=body.raw_scores,
                whole=body.truncate is False,
            )
            texts = body.texts if body.return_text else [None] * len(body.texts)
            return [forms.TeiRank(index=index, score=score, text=texts[index]) for index, score in ranking.places]
        ranking = await rank(
            request,
            query=body.query,
            documents=body.documents,
            model=body.model,
            raw_scores=body.raw_scores,
            top_n=body.top_n,
            count_tokens=True,
        )
        shown = body.documents if body.return_documents else [None] * len(body.documents)
        return forms.InfinityAnswer(
            model=ranking.model,
            results=[
                forms.ResultWithText(index=index, relevance_score=score, document=shown[index])
                for index, score in ranking.places
            ],
            usage=_usage(ranking),
        )


def _usage(ranking: Ranking) -> forms.Usage:
    return forms.Usage(prompt_tokens=ranking.tokens or 0, total_tokens=ranking.tokens or 0)


def _add_predict(api: FastAPI, service: Service, keyed: Sequence[Any]) -> None:
    @api.post(
        "/predict",
        summary="Classify texts or pairs of texts, as TEI does",
        dependencies=keyed,
        responses=_problems(*PROBLEMS),
        tags=["predict"],
    )
    async def predict(request: Request, body: forms.Predict) -> list[forms.Prediction] | list[list[forms.Prediction]]:
        given = body.inputs
        batch = [[given]] if isinstance(given, str) else [given] if isinstance(given[0], str) else given
        pairs: list[Pair] = [(first, second[0] if second else None) for first, *second in batch]
        labelled = await service.scoring.classify(
            request, pairs=pairs, model=body.model, raw_scores=body.raw_scores, whole=body.truncate is False
        )
        answers = [[forms.Prediction(label=label, score=score) for label, score in labels] for labels in labelled]
        return answers if batch is given else answers[0]


def _add_operations(api: FastAPI, service: Service, keyed: Sequence[Any]) -> None:
    shared: dict[str, Any] = {"tags": ["operations"]}

    @api.get("/health", summary="Is it alive?", responses=_problems(503), **shared)
    async def health() -> dict[str, str]:
        if not service.is_healthy:
            raise Refusal(503, "a worker has died; restart the server")
        return {"status": "ok"}

    @api.get("/ready", summary="Should requests be sent here?", responses=_problems(503), **shared)
    async def ready() -> dict[str, str]:
        if not service.is_ready:
            raise Refusal(503, "the server is stopping")
        return {"status": "ready"}

    asks: dict[str, Any] = {"dependencies": keyed, "responses": _problems(401)} if keyed else {}

    @api.get("/info", summary="What is served, and the limits", **asks, **shared)
    async def info() -> dict[str, Any]:
        return _info(service)

    if keyed:  # FastAPI would say that this, too, is plain text
        schema = {"$ref": f"#/components/schemas/{forms.ErrorAnswer.__name__}"}
        asks["responses"] = {401: {"description": PROBLEMS[401], "content": {"application/json": {"schema": schema}}}}

    @api.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse, **asks, **shared)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=service.metrics.content_type)

    @api.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


def _info(service: Service) -> dict[str, Any]:
    """Return what text-embeddings-inference tells of its one model, here the default one, and all models by name."""
    settings = service.settings
    described = {}
    for name in service.models.names:
        _, model = service.models.find(name)
        kind = model.classifier
        labels = kind.labels if kind else ("LABEL_0",)
        described[name] = {
            "model_id": name,
            "model_sha": model.sha256,
            "model_dtype": "int8" if "int8" in model.file.name else "float32",
            "model_type": {
                "classifier" if kind else "reranker": {
                    "id2label": {str(place): label for place, label in enumerate(labels)},
                    "label2id": {label: place for place, label in enumerate(labels)},
                }
            },
            "max_input_length": model.max_tokens,
            "calibration": model.calibration.method if model.calibration else None,
            "loaded_at": model.loaded_at,
        }
    return {
        **described[service.models.names[0]],
        "max_concurrent_requests": settings.max_requests,
        "max_batch_tokens": settings.max_request_tokens,
        "max_client_batch_size": settings.max_documents,
        "auto_truncate": True,
        "tokenization_workers": settings.workers,
        "version": __version__,
        "models": described,
    }


def _add_refusals(api: FastAPI) -> None:
    """Answer whatever goes wrong with one kind of body, which never quotes what was sent."""

    def send(refusal: Refusal, headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse(refusal.body, refusal.status, headers={**(headers or {}), **refusal.headers})

    @api.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> JSONResponse:
        return send(error)

    @api.exception_handler(HTTPException)
    async def http_problem(request: Request, error: HTTPException) -> JSONResponse:
        problem = {404: "there is nothing here; see /openapi.json", 405: "this path does not take that method"}
        refusal = Refusal(error.status_code, problem.get(error.status_code, "the body cannot be read"))
        return send(refusal, dict(error.headers or {}))

    @api.exception_handler(RequestValidationError)
    async def not_of_this_form(request: Request, error: RequestValidationError) -> JSONResponse:
        problems = error.errors()
        if any(problem["type"] == "json_invalid" for problem in problems):
            return send(Refusal(400, "the body is not JSON"))
        return send(Refusal(422, "; ".join(map(_said, problems[:3]))))

    @api.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return send(Refusal(500, "the server failed; its log says where"))


def _said(problem: dict[str, Any]) -> str:
    """Return one thing that is wrong with a body, without the value."""
    place = list(problem["loc"][1:])
    if len(place) > 1 and place[0] in ("documents", "texts") and isinstance(place[1], str):
        del place[0]  # the form's name, not the field's
    return f"{'.'.join(map(str, place)) or 'body'}: {problem['msg']}"
