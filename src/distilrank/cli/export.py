"""``distilrank export``: make a model folder run without torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from distilrank.errors import InputError


def export(
    model: Annotated[Path, typer.Argument(help="Model folder, as distil or fine-tune leaves it.")],
    precision: Annotated[
        Literal["fp32", "int8"], typer.Option(help="int8 adds an 8-bit file, if it ranks as well on --data.")
    ] = "fp32",
    data: Annotated[
        str | None, typer.Option(help="Folder with judged queries, or a public collection, that decide about int8.")
    ] = None,
    split: Annotated[str, typer.Option(help="Whose queries and judgements.")] = "dev",
    run: Annotated[str | None, typer.Option(help="Candidates, as for evaluate.")] = None,
    collection: Annotated[Path | None, typer.Option(help="The passages, when they lie outside --data.")] = None,
    margin: Annotated[
        float, typer.Option(help="Share of nDCG@10 that int8 may lose, and of passage pairs it may swap.")
    ] = 0.01,
    method: Annotated[
        Literal["auto", "static", "dynamic"],
        typer.Option(help="Scales of activations: measured ahead, or of each batch; auto tries static first."),
    ] = "auto",
    cpu: Annotated[
        Literal["avx512_vnni", "avx512", "avx2", "arm64"] | None,
        typer.Option(help="Processor that the int8 file is for; this one by default."),
    ] = None,
    fp32_embeddings: Annotated[
        bool, typer.Option("--fp32-embeddings", help="Leave word embeddings in fp32: a larger file.")
    ] = False,
    depth: Annotated[int | None, typer.Option(help="Candidates per query that are scored.")] = None,
    max_queries: Annotated[int | None, typer.Option(help="Most queries that decide, the first ones.")] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Measure threads and batch size on this machine; kept in runtime.json.")
    ] = False,
    openvino: Annotated[
        bool, typer.Option("--openvino", help="Also write OpenVINO's files, after comparing them with onnxruntime.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Never use the network.")] = False,
) -> None:
    r"""Write onnx/model.onnx into a model folder, after comparing it with torch; and, on request, an 8-bit file.

    The float file holds the weights, takes any batch and length, and is written only when its logits equal torch's to
    1e-4. After this, rank and Ranker need no torch. The 8-bit file is judged on your queries beside the float one:
    where it loses more of nDCG@10 than --margin, swaps more pairs of passages, scores all alike, or lets a score depend
    on the batch, it is refused, and other recipes are tried, smaller files first. What was found is in
    onnx/quality.json and on the card. The exit code is 1 when none passed; the model then runs in fp32.

    \b
    Examples:
      distilrank export runs/student
      distilrank export runs/student --precision int8 --data runs/data --split dev --tune
      python -c 'from distilrank import Ranker; print(Ranker.load("runs/student").rank("a query", ["one", "two"]))'
    """
    from distilrank.workflows.export import Int8Settings, export_fp32, export_quantised

    if (precision == "int8") != (data is not None):
        raise InputError("--precision int8 and --data DATA go together: 8 bits are judged on your queries")
    passed = True
    if data is None:
        _show(export_fp32(model))
    else:
        settings = Int8Settings(
            split=split,
            margin=margin,
            method=method,
            arithmetic=cpu,
            embeddings=not fp32_embeddings,
            depth=depth,
            max_queries=max_queries,
        )
        made = export_quantised(
            model, data=data, settings=settings, run=run, collection=collection, offline=offline, say=_say
        )
        _show(model / "onnx" / "model.onnx")
        passed = made.path is not None
        if made.path is not None:
            _show(made.path)
        else:
            _say("no 8-bit file passed, so the model runs in fp32; onnx/quality.json has the numbers")
    if openvino:
        from distilrank.export.openvino import export_openvino

        _show(export_openvino(model).with_suffix(".bin"))
    if tune:
        from distilrank.export.tune import tune as measure

        best = measure(model)
        chosen = f"{best.threads} threads, {best.batch_tokens} tokens in a batch, padded to multiples of {best.pad_to}"
        print(f"{model / 'runtime.json'}\t{chosen}")
    if not passed:
        raise typer.Exit(1)


def _show(path: Path) -> None:
    print(f"{path}\t{path.stat().st_size / 1e6:.1f} MB")


def _say(line: str) -> None:
    print(line, file=sys.stderr)
