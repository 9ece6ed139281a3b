"""docs/study.md: the questions, the readings and the costed list of cells."""

from __future__ import annotations

from study.cells import Cell, by_name, system_and_seed
from study.plan import Plan
from study.questions import QUESTIONS

LONGEST_MINUTES = 45

_OPENING = """\
# The study: its plan

Every paper's claim, put to the test on real data by one command, `make study SCALE=cpu`. This page is written by
`python -m study plan` from `study/plan.py` and `study/questions.py`. The questions, and how their answers are read,
were committed before any result (9efcd65). Changed since: before any student's result, one seed instead of three for
`margin_mse`, `kl`, `kl_layers`, `bilstm` and two rows of MRPC (7efa711); then one seed for documents (99c88e8) and
for `lm_tuned_3`, whose training is that of `labels`, so that these seeds serve it (2bc7a94), and the measurement of
speed was added. The results are on [their own page](results.md).

The data is read from the folder given with `--data` (`../shared/data`); it is not part of the repository. Expected in
it: `openqa_wiki`, `trec_dl19`, `nfcorpus`, `antique_test` and `cranfield` as BEIR folders with their runs,
`wikipedia_2015_26k/passages.tsv.xz`, `word_vectors/w2v_wiki_books_100d.txt.gz`, and `sst2`, `mrpc`, `rte`, `cola` and
`stsb`.

One teacher, a MiniLM-L6 ranker made by the product's own commands (`study/teacher.sh`) and frozen, teaches all
rankers. They learn from open-domain questions over Wikipedia and are judged on 200 of the questions' own dev queries
(50 candidates each) and on TREC DL 2019 (BM25's 100); the headline rows also on NFCorpus, ANTIQUE and Cranfield.
Headline rows have three seeds, the others one, which says less: their intervals are over queries only. Classifiers
learn from at most 6,000 examples of a task and are judged on its dev split.

Statistics: means with 95% intervals (over seeds where there are several, else the bootstrap's over queries); paired
randomisation tests of rankers over queries, each query averaged over the seeds; paired t-tests of classifiers over
seeds; Holm's correction over the comparisons of one measure. What a cell gives is kept whatever it says.

Speed does not depend on weights, so `python -m study speed` takes it from new ones: of the papers' networks,
BERT-base and BERT-large among them, and of the study's, in turns and in one process, on pairs of 128 and 256 tokens
and on sentences of 32."""


def plan_page(plan: Plan) -> str:
    """Return the plan as Markdown."""
    cells = by_name(list(plan.cells()))
    hours = sum(cell.minutes for cell in cells.values()) / 60
    lines = [*_OPENING.splitlines(), "", "## Questions"]
    for question in QUESTIONS:
        rows, baselines, sets = map(", ".join, (question.systems, question.against, question.sets))
        lines += ["", f"### {question.name}", "", question.asks, ""]
        lines += [f"- Published: {question.published}", f"- Rows: {rows}; against {baselines}; on {sets}."]
        lines += [f"- Reading: {question.reading}"]
    lines += [
        "",
        "## Cells",
        "",
        f"{len(cells)} cells, about {hours:.0f} hours of two processor cores at scale `{plan.scale.name}`, "
        "by estimate;",
        f"no cell over {LONGEST_MINUTES} minutes.",
        "As many run at once as there are cores, each on a core of its own with one thread: no number depends on "
        "how many there are.",
        "Killed at any moment, the same command goes on; cells whose commands or inputs change are run again.",
        "",
        "| cell | seeds | minutes each | reads | judged on |",
        "| --- | --- | ---: | --- | --- |",
    ]
    systems: dict[str, list[Cell]] = {}
    for cell in cells.values():
        systems.setdefault(system_and_seed(cell.name)[0], []).append(cell)
    for system, same in systems.items():
        seeds = ", ".join(filter(None, (system_and_seed(cell.name)[1] for cell in same)))
        first = same[0]
        reads, judged = ", ".join(first.needs), ", ".join(first.judged_on)
        lines.append(f"| {system} | {seeds} | {first.minutes:g} | {reads} | {judged} |")
    return "\n".join(lines) + "\n"
