"""The plan: what is trained, what it is judged on, and what is asked. Made before any result was seen.

A student is 3/384 (half of its teacher's layers) or 2/168/672/12 (a fifteenth of its operations, as the small student
of Simplified TinyBERT has of BERT-base's). All rankers see the same questions and make as many updates of as many
pairs. Model choices were made on openqa_wiki dev alone, before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from study.cells import Cell

SMALL = "2/168/672/12"
HEADLINE_SEEDS = (1, 2, 3)
RANKING_SETS = ("openqa_dev", "trec_dl19")
HEADLINE_SETS = (*RANKING_SETS, "nfcorpus", "antique", "cranfield")
TASKS = ("sst2", "mrpc", "rte", "cola", "stsb")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much of everything.

    Attributes:
        name: Of the folders of its runs and results.
        seeds: Of the headline rows; the others have the first of them.
        steps: Updates of a ranker's student.
        batch: Pairs in one of them.
        general_steps: Updates of general distillation.
        bilstm_steps: Updates of a siamese BiLSTM.
        task_steps: Updates of a classifier's student.
        head_steps: Updates of the masked-language head.
        copies: Variants of an example by TinyBERT's augmentation.
        examples: Of a classification task that are augmented, and the most a classifier learns from.
        queries: Most queries of a test set.
        precision: Of training.
        dev: Of the evaluation while a ranker is trained.
        timed: Texts at once where speed is measured.
        stand_in: Shape of all networks whose speed is measured. None: each has its own.
        one_thread: Whether a command computes with one thread, so that several can run beside each other and give the
            numbers that they give alone.
    """

    name: str
    seeds: tuple[int, ...] = HEADLINE_SEEDS
    steps: int = 200
    batch: int = 64
    general_steps: int = 400
    bilstm_steps: int = 300
    task_steps: int = 300
    head_steps: int = 800
    copies: int = 3
    examples: int = 6000
    queries: int = 200
    precision: str = "bf16"
    dev: str = "--dev-queries 40 --dev-depth 20"
    timed: int = 20
    stand_in: str | None = None
    one_thread: bool = True


SCALES = {
    "smoke": Scale(
        name="smoke",
        seeds=(1,),
        steps=2,
        batch=8,
        general_steps=2,
        bilstm_steps=3,
        task_steps=2,
        head_steps=2,
        copies=1,
        examples=30,
        queries=4,
        dev="--dev-queries 4 --dev-depth 5",
        timed=1,
        stand_in="1/24/48/12",
    ),
    "cpu": Scale(name="cpu"),
    "gpu": Scale(
        name="gpu",
        steps=6000,
        general_steps=20_000,
        bilstm_steps=9000,
        task_steps=3000,
        head_steps=8000,
        examples=60_000,
        one_thread=False,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Cells and test sets at one scale.

    Attributes:
        scale: How much of everything.
        data: Folder of the data sets.
        runs: Folder of the cells.
        teacher: Folder of the study teacher.
    """

    scale: Scale
    data: Path
    runs: Path
    teacher: Path

    def folder(self, cell: str) -> Path:
        """Return where a cell's result lies."""
        return self.runs / cell

    def test_sets(self) -> dict[str, str]:
        """Return name -> arguments of ``evaluate``."""
        few, deep, sample = f"--max-queries {self.scale.queries}", "--depth 50", ""
        if self.scale.name == "smoke":
            deep, sample = "--depth 5", " --max-queries 20"
        dl19 = f"--data {self.data}/trec_dl19 --run BM25 --measures nDCG@10,RR(rel=2)@10,AP(rel=2)"
        documents = f"--data {self.folder('documents')} {deep} {few} --measures nDCG@10,RR@10"
        return {
            "openqa_dev": f"--data {self.folder('data')} --split dev {deep} {few} --measures nDCG@10,RR@10",
            "trec_dl19": dl19 if self.scale.name != "smoke" else f"{dl19} {deep} {few}",
            "nfcorpus": f"--data {self.data}/nfcorpus {deep} {few} --measures nDCG@10,RR@10",
            "antique": f"--data {self.data}/antique_test {deep} {few} --measures nDCG@10,RR(rel=2)@10",
            "cranfield": f"--data {self.data}/cranfield {deep} {few} --measures nDCG@10,RR@10",
            "documents_maxp": f"{documents} --aggregate MaxP",
            "documents_firstp": f"{documents} --aggregate FirstP",
            **{task: f"--data {self.folder(f'{task}_data')} --split dev{sample}" for task in TASKS},
        }

    def cells(self) -> Iterator[Cell]:
        """Yield every cell."""
        yield from self._shared()
        yield from self._rankers()
        yield from self._ranker_ablations()
        yield from self._objectives()
        yield from self._bilstm_rankers()
        yield from self._stacked()
        for task in TASKS:
            yield from self._classifiers(task)
        yield from self._bilstm_rules()

    def _shared(self) -> Iterator[Cell]:
        """What several cells read: data, general students, and the language model that augments."""
        s, out, wiki = self.scale, self.folder, f"{self.data}/wikipedia_2015_26k/passages.tsv.xz"
        limit = " --max-queries 400" if s.name == "smoke" else ""
        yield Cell(
            name="data",
            commands=(
                f"prepare --data {self.data}/openqa_wiki --run BM25 --depth 50 --positives 1 --collection {wiki} "
                f"--out {out('data')}{limit}",
            ),
            minutes=2,
        )
        yield Cell(
            name="documents",  # abstracts, cut into passages of 60 words, so that most have several
            commands=(
                f"prepare --data {self.data}/cranfield --documents --window 60 --stride 30 --depth 50 "
                f"--out {out('documents')}",
            ),
            minutes=1,
        )
        yield Cell(
            name="teacher",
            commands=(),
            needs=("data", "documents"),
            judged_on=(*HEADLINE_SETS, "documents_maxp", "documents_firstp"),
            minutes=10,
        )
        general = (
            f"general-distil --text {wiki} --teacher minilm-l6 --steps {s.general_steps} --batch-size 32 "
            f"--learning-rate 2e-4 --max-tokens 128 --precision {s.precision} --seed 1 --chunks {out('chunks')}"
        )
        shapes = {"general_3": "--layers 3", "general_2": "--layers 2", "general_small": f"--shape {SMALL}"}
        for name, shape in shapes.items():
            yield Cell(name=name, commands=(f"{general} {shape} --out {out(name)}",), minutes=7)
        yield Cell(
            name="mlm",
            commands=(
                f"fit-mlm-head --model minilm-l6 --text {wiki} --steps {s.head_steps} "
                f"--set training.precision={s.precision} --out {out('mlm')}",
            ),
            minutes=12,
        )

    def _distil(
        self, name: str, options: str, *, tokens: int = 192, data: str = "data", teacher: Path | None = None
    ) -> str:
        """Return a ``distil`` command of a transformer student; ``name`` ends in the seed."""
        return (
            f"distil --data {self.folder(data)} --teacher {teacher or self.teacher} --max-tokens {tokens} "
            f"--precision {self.scale.precision} --set dropout=0 --learning-rate 2e-4 {options} "
            f"--seed {name.rpartition('-')[2]} --out {self.folder(name)}"
        )

    def _ranker(
        self,
        system: str,
        options: str,
        seeds: tuple[int, ...],
        *,
        general: str | None = "general_3",
        sets: tuple[str, ...] = RANKING_SETS,
        minutes: float = 8,
    ) -> Iterator[Cell]:
        """Yield the cells of a transformer that ranks; ``general``: the student that it starts from."""
        s = self.scale
        drawn = f"--batch-size {s.batch} --triples {s.steps * s.batch // 2} {s.dev}"
        if "max_steps" not in options:
            drawn += f" --steps {s.steps}"
        start = f"--student {self.folder(general)} " if general else ""
        needs = [
            "data",
            "teacher",
            *([general] if general else []),
            *(["documents"] if sets[-1] not in HEADLINE_SETS else []),
        ]
        for seed in seeds:
            name = f"{system}-{seed}"
            commands = (self._distil(name, f"{start}{drawn} {options}"),)
            yield Cell(name=name, commands=commands, needs=tuple(needs), judged_on=sets, minutes=minutes)

    def _halves(self) -> str:
        """Half of the updates for each of two stages."""
        half = max(1, self.scale.steps // 2)
        return f"--set layers.max_steps={half} --set answers.max_steps={half}"

    def _rankers(self) -> Iterator[Cell]:
        """The headline rows: both sizes, each from one general student."""
        seeds, one = self.scale.seeds, self.scale.seeds[:1]
        simplified = "--procedure simplified_tinybert"
        others = {
            "labels": "--procedure standard --set alpha=0",
            "standard": "--procedure standard",
            "tinybert": f"--procedure tinybert {self._halves()}",
        }
        documents = (*HEADLINE_SETS, "documents_maxp", "documents_firstp")
        yield from self._ranker("simplified", simplified, one, sets=documents, minutes=11)
        yield from self._ranker("simplified", simplified, seeds[1:], sets=HEADLINE_SETS, minutes=10)
        yield from self._ranker("simplified_small", simplified, seeds, general="general_small", minutes=6)
        for system, options in others.items():
            yield from self._ranker(system, options, seeds, sets=HEADLINE_SETS, minutes=10)
            yield from self._ranker(f"{system}_small", options, one, general="general_small", minutes=6)
        yield from self._ranker("one_soft", f"{simplified} --set hard=0", one)
        two = f"{simplified} --set steps=two --set training.max_steps={max(1, self.scale.steps // 2)}"
        yield from self._ranker("two_hard", two, one)
        yield from self._ranker("two_soft", f"{two} --set hard=0", one)

    def _ranker_ablations(self) -> Iterator[Cell]:
        """Gao et al.'s procedures at two depths and four starts; TinyBERT without each of its parts."""
        seeds, one = self.scale.seeds, self.scale.seeds[:1]
        ranker, tuned = "--set task=ranker_distillation", "--set task=fine_tuning"
        gao = "--procedure bert_rankers"
        for layers, many in ((3, seeds), (2, one)):
            general = f"general_{layers}"
            yield from self._ranker(f"ranker_{layers}", f"{gao} --layers {layers} {ranker}", many, general=None)
            # The same training as "labels", which has the other seeds.
            yield from self._ranker(f"lm_tuned_{layers}", f"{gao} {tuned}", one, general=general, minutes=5)
            yield from self._ranker(f"lm_ranker_{layers}", f"{gao} {ranker}", many, general=general)
        yield from self._ranker("from_random", f"{gao} --shape 3/384/1536/12 {ranker}", one, general=None)
        # All six of its layers: the one public checkpoint at hand, so as large as the teacher.
        yield from self._ranker("from_public", f"{gao} --student minilm-l6 {ranker}", one, general=None, minutes=11)
        tiny = f"--procedure tinybert {self._halves()}"
        without = {
            "embedding": "--set embedding=0",
            "hidden": "--set hidden=0",
            "attention": "--set attention=0",
            "predictions": "--set predictions=labels",
            "top": "--set mapping=top",
            "bottom": "--set mapping=bottom",
        }
        for name, option in without.items():
            yield from self._ranker(f"tinybert_{name}", f"{tiny} {option}", one)
        answers = f"--procedure tinybert --set layers_stage=false --set answers.max_steps={self.scale.steps}"
        yield from self._ranker("tinybert_no_layers", answers, one)
        yield from self._ranker("tinybert_no_general", f"{tiny} --shape 3/384/1536/12", one, general=None)

    def _objectives(self) -> Iterator[Cell]:
        """One word that differs; groups of 8 passages, scored once, and as many pairs as the other rankers see."""
        s, out = self.scale, self.folder
        groups = max(1, s.batch // 8)
        yield Cell(
            name="scores",
            commands=(
                f"teach --data {out('data')} --teacher {self.teacher} --max-tokens 192 --precision {s.precision} "
                f"--limit {groups * s.steps} --out {out('scores')}",
            ),
            needs=("data", "teacher"),
            minutes=8,
        )
        for name in ("mse", "margin_mse", "ranknet", "kl", "info_nce", "adr_mse", "lambda_loss", "kl_layers"):
            layers = name == "kl_layers"
            terms = f"--objective {'kl' if layers else name}"
            if layers:
                terms += " --objective embedding --objective hidden --objective attention"
            options = (
                f"--procedure scores {terms} --student {out('general_3')} --scores {out('scores')} "
                f"--batch-size {groups} --steps {s.steps} {s.dev}"
            )
            yield Cell(
                name=f"{name}-{s.seeds[0]}",
                commands=(self._distil(f"{name}-{s.seeds[0]}", options),),
                needs=("data", "teacher", "general_3", "scores"),
                judged_on=RANKING_SETS,
                minutes=8 if layers else 5,
            )

    def _bilstm_rankers(self) -> Iterator[Cell]:
        """The siamese form, whose passages are read ahead."""
        s = self.scale
        for system, alpha in (("bilstm", ""), ("bilstm_labels", " --set alpha=1")):
            name = f"{system}-{s.seeds[0]}"
            command = (
                f"distil --procedure bilstm --data {self.folder('data')} --teacher {self.teacher} {self._words} "
                f"--max-tokens 192 --triples {s.bilstm_steps * s.batch // 2} --steps {s.bilstm_steps} "
                f"--batch-size {s.batch} {s.dev}{alpha} --seed {s.seeds[0]} --out {self.folder(name)}"
            )
            yield Cell(name=name, commands=(command,), needs=("data", "teacher"), judged_on=RANKING_SETS, minutes=13)

    @property
    def _words(self) -> str:
        """The BiLSTM's size and word vectors; few words, since AdaDelta goes over all of them in every update."""
        vectors = f"--vectors {self.data}/word_vectors/w2v_wiki_books_100d.txt.gz --set student.vocabulary_size=20000"
        return f"--shape 150/200 {vectors} --precision {self.scale.precision}"

    def _stacked(self) -> Iterator[Cell]:
        """Eight bits and a small vocabulary on top of the headline student."""
        out, first = self.folder, f"simplified-{self.scale.seeds[0]}"
        text, margin = f"{self.data}/wikipedia_2015_26k/passages.tsv.xz", ""
        if self.scale.name == "smoke":  # three million sentences take minutes, and no file of so poor a model passes
            text, margin = f"{self.data}/cranfield/corpus.jsonl.gz", " --margin 0.9"
        trim = f"trim {out(first)} --text {text} --min-count 100 --out {out('trimmed')}"
        eight = f"--precision int8 --data {out('data')} --split dev --max-queries {self.scale.queries}{margin}"
        yield Cell(name="trimmed", commands=(trim,), needs=(first,), judged_on=HEADLINE_SETS, minutes=5)
        for name, model in {"int8": first, "trimmed_int8": "trimmed"}.items():
            yield Cell(
                name=name,
                commands=(f"export {out(model)} {eight}",),
                needs=(model, "data", "teacher"),
                judged_on=HEADLINE_SETS,
                model=model,
                precision="int8",
                minutes=6,
            )

    def _classifiers(self, task: str) -> Iterator[Cell]:
        """Each task: a teacher, and the students of papers 1, 2 and 4 beside the labels and Hinton's distillation."""
        s, out = self.scale, self.folder
        data, teacher = f"{task}_data", f"{task}_teacher"
        tokens = 64 if task in ("sst2", "cola") else 128
        yield Cell(
            name=data,
            commands=(f"prepare --data {self.data}/{task} --max-queries {s.examples} --out {out(data)}",),
            minutes=0.5,
        )
        yield Cell(
            name=teacher,
            commands=(
                f"fine-tune --data {out(data)} --model minilm-l6 --steps {2 * s.task_steps} --batch-size 32 "
                f"--learning-rate 1e-4 --max-tokens {tokens} --precision {s.precision} --out {out(teacher)}",
            ),
            needs=(data,),
            judged_on=(task,),
            minutes=5,
        )
        augmented = f"{task}_augmented"
        yield Cell(
            name=augmented,
            commands=(
                f"augment --data {out(data)} --mlm {out('mlm')} --set copies={s.copies} "
                f"--vectors {self.data}/word_vectors/w2v_wiki_books_100d.txt.gz --out {out(augmented)}/augmented.jsonl",
            ),
            needs=(data, "mlm"),
            minutes=4,
        )
        half = max(1, s.task_steps // 2)
        stages = f"--procedure tinybert --set layers.max_steps={half} --set answers.max_steps={half}"
        more = f"--augmented {out(augmented)}/augmented.jsonl"
        systems = {
            "labels": f"--procedure standard --set alpha=0 --steps {s.task_steps}",
            "standard": f"--procedure standard --steps {s.task_steps}",
            "simplified": f"--procedure simplified_tinybert --steps {s.task_steps}",
            "tinybert": f"{stages} {more}",
            "tinybert_plain": stages,
        }
        for system, options in systems.items():
            for seed in s.seeds if task == "sst2" else s.seeds[:1]:
                name = f"{task}_{system}-{seed}"
                full = f"--student {out('general_3')} --batch-size 64 {options}"
                yield Cell(
                    name=name,
                    commands=(self._distil(name, full, tokens=tokens, data=data, teacher=out(teacher)),),
                    needs=(data, teacher, "general_3", *((augmented,) if more in options else ())),
                    judged_on=(task,),
                    minutes=3,
                )

    def _bilstm_rules(self) -> Iterator[Cell]:
        """Tang et al. on single sentences (SST-2) and pairs (MRPC): distilled or not, and each rule by itself."""
        s, out = self.scale, self.folder
        rules = {
            "mask": "--set replace=0 --set ngram=0",
            "replace": "--set mask=0 --set ngram=0",
            "ngram": "--set mask=0 --set replace=0",
            "all": "",
        }
        for task in ("sst2", "mrpc"):
            data, teacher = f"{task}_data", f"{task}_teacher"
            for rule, options in rules.items():
                made = out(f"{task}_rules_{rule}") / "augmented.jsonl"
                command = f"augment --data {out(data)} --method rules --set variants=4 {options} --out {made}"
                yield Cell(name=f"{task}_rules_{rule}", commands=(command,), needs=(data,), minutes=1)
            for system in ("labels", "distilled", *(f"distilled_{rule}" for rule in rules)):
                rules_of = [f"{task}_rules_{rule}" for rule in rules if system == f"distilled_{rule}"]
                more = " ".join(f"--augmented {out(each)}/augmented.jsonl" for each in rules_of)
                alpha = "--set alpha=1" if system == "labels" else ""
                for seed in s.seeds if task == "sst2" and system in ("labels", "distilled_all") else s.seeds[:1]:
                    name = f"{task}_bilstm_{system}-{seed}"
                    command = (
                        f"distil --procedure bilstm --data {out(data)} --teacher {out(teacher)} {self._words} "
                        f"--steps {5 * s.task_steps} {more} {alpha} --seed {seed} --out {out(name)}"
                    )
                    needs = (data, teacher, *rules_of)
                    yield Cell(name=name, commands=(command,), needs=needs, judged_on=(task,), minutes=3)
