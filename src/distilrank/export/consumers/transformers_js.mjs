// Logits of Transformers.js for pairs of texts. It must be installed where this is started, or further up.
//
// Without a request on standard input: its version. With {"folder": ..., "query": ..., "passages": [...]}: the logits, a
// list for each pair. Either as one line of JSON on standard output.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname } from "node:path";

const library = createRequire(process.cwd() + "/")("@huggingface/transformers");
const text = readFileSync(0, "utf8");
if (!text) {
  console.log(JSON.stringify(library.env.version));
} else {
  const { folder, query, passages } = JSON.parse(text);
  library.env.allowRemoteModels = false;
  library.env.localModelPath = dirname(folder);
  const name = basename(folder);
  const tokenizer = await library.AutoTokenizer.from_pretrained(name);
  const model = await library.AutoModelForSequenceClassification.from_pretrained(name, { dtype: "fp32" });
  const options = { text_pair: passages, padding: true, truncation: true };
  const { logits } = await model(tokenizer(passages.map(() => query), options));
  console.log(JSON.stringify(logits.tolist()));
}
