"""``distilrank serve``: rankers and classifiers behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Model folders, as [NAME=]FOLDER; the first is the default. None: the ranker that comes along."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8080,
    threads: Annotated[int | None, typer.Option(help="Processor threads of a batch; all cores by default.")] = None,
    precision: Annotated[
        Literal["auto", "fp32", "int8"] | None,
        typer.Option(help="Which file is run; by default 8 bits where they passed on such a processor (auto)."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Batches scored at the same time; 1.")] = None,
    watch: Annotated[
        float | None, typer.Option(help="Look for changed folders every so many seconds; only on SIGHUP by default.")
    ] = None,
    keys_from: Annotated[str | None, typer.Option(help="Environment variable with API keys, one a line.")] = None,
    keys_file: Annotated[Path | None, typer.Option(help="File with API keys, one a line.")] = None,
    log_texts: Annotated[bool, typer.Option("--log-texts", help="Write queries and documents into the log.")] = False,
    settings: Annotated[Path | None, typer.Option(help="YAML or TOML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, any other setting; repeatable.")] = None,
) -> None:
    r"""Serve models over HTTP, to clients of Cohere, Jina, infinity and text-embeddings-inference.

    POST /v1/rerank (Cohere v1, Jina), /v2/rerank (Cohere v2), /rerank (infinity, TEI) and /predict (TEI, classifiers);
    GET /health, /ready, /info, /metrics, /openapi.json, and a page to try it at /. SIGTERM answers what was accepted
    and stops; SIGHUP loads folders that have changed. No torch is needed.

    \b
    Examples:
      distilrank serve
      distilrank serve runs/student
      distilrank serve rerank-v3.5=runs/student topics=runs/classifier --host 0.0.0.0 --keys-file /run/secrets/keys
      distilrank serve runs/student --watch 10 --set queue_pairs=2000 --set timeout_seconds=5
    """
    from distilrank.data.settings_files import read_settings
    from distilrank.runtime.shipped import default_folder
    from distilrank.serve.keys import read_keys
    from distilrank.serve.models import read_names
    from distilrank.serve.server import run_server
    from distilrank.serve.settings import ServeSettings

    given = {
        "threads": threads,
        "precision": precision,
        "workers": workers,
        "watch_seconds": watch,
        "log_texts": log_texts or None,
    }
    run_server(
        read_names(models or [f"default={default_folder()}"]),
        host=host,
        port=port,
        settings=read_settings(ServeSettings, settings, given=given, changes=set_ or ()),
        keys=read_keys(variable=keys_from, path=keys_file),
    )
