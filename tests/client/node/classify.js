"use strict";
// What tests/client/test_node.py runs: the calls of the Node client, with their results as JSON.
// Arguments: the URL, the URLs of a server that is not there, of one whose queue is full, of one
// that says so slowly and of one that is ending, and the paths of images.

const { once } = require("node:events");
const { readFileSync } = require("node:fs");
const http = require("node:http");
const { Classifier, ...errors } = require("resnet-client");

const [url, absent, full, slow, ending, ...paths] = process.argv.slice(2);

async function refused(action) {
  try {
    await action();
    return null;
  } catch (error) {
    return { kind: error.constructor.name, message: error.message, ours: error instanceof errors.ClientError };
  }
}

async function main() {
  const found = {};
  const classifier = new Classifier(url, "resnet20", { timeoutMs: 120_000 });
  await classifier.waitReady();
  found.one = await classifier.classify(paths[0], { top: 10 });
  found.bytes = await classifier.classify(readFileSync(paths[0]), { top: 10 });
  const buffer = new Uint8Array(readFileSync(paths[0])).buffer; // as fetch gives it
  found.buffer = await new Classifier(url, "resnet20_image").classify(buffer, { top: 10 });
  found.standard = (await classifier.classify(paths[0])).length;
  await classifier.classify(paths[0], { requestId: "order/7" });
  found.many = [];
  found.ids = [];
  const counts = [];
  const given = [...paths, __filename, "/no/such.png"];
  const options = { top: 1, progress: (n) => counts.push(n), requestId: "batch" };
  for await (const each of classifier.classifyMany(given, options)) {
    found.ids.push(each.requestId);
    found.many.push({
      image: each.image,
      label: each.predictions[0]?.label ?? null,
      error: each.error && `${each.error.constructor.name}: ${each.error.message}`,
    });
  }
  found.counts = counts;
  for await (const each of classifier.classifyMany(paths.slice(0, 2))) found.ids.push(each.requestId);
  const page = http.createServer((_, response) => response.end("a page")).listen(0, "127.0.0.1");
  await once(page, "listening");
  const web = `127.0.0.1:${page.address().port}`;
  found.refused = {
    plain: await refused(() => new Classifier(url, "resnet20", { tls: true }).classify(paths[0])),
    web: await refused(() =>
      new Classifier(web, "resnet20", { timeoutMs: 1000 }).classify(paths[0]),
    ),
    top: await refused(() => classifier.classify(paths[0], { top: "5" })),
    several: await refused(() => classifier.classifyMany(paths[0]).next()),
    model: await refused(() => new Classifier(url, null)),
    version: await refused(() => new Classifier(url, "resnet20", { version: 1 })),
    url: await refused(() => new Classifier("127.0.0.1")),
    timeout: await refused(() => new Classifier(url, "resnet20", { timeoutMs: "1" })),
    unknown: await refused(() => new Classifier(url, "nothing").classify(paths[0])),
    option: await refused(() => new Classifier(url, "resnet20", { timeout: 5 })),
    topp: await refused(() => classifier.classify(paths[0], { topp: 1 })),
    nothing: await refused(() => classifier.classify(null)),
    bad: await refused(() => classifier.classify(Buffer.from("no image"))),
    absent: await refused(() =>
      new Classifier(absent, "resnet20", { timeoutMs: 400 }).classify(paths[0]),
    ),
    full: await refused(() =>
      new Classifier(full, "resnet20", { timeoutMs: 400 }).classify(paths[0]),
    ),
    slow: await refused(() =>
      new Classifier(slow, "resnet20", { timeoutMs: 2000 }).classify(paths[0]),
    ),
    ending: await refused(() =>
      new Classifier(ending, "resnet20", { timeoutMs: 1000 }).classify(paths[0]),
    ),
    id: await refused(() => classifier.classify(paths[0], { requestId: "two words" })),
    number: await refused(() => classifier.classifyMany(paths, { requestId: 7 }).next()),
    late: await refused(() => new Classifier(url, "resnet20", { timeoutMs: 1 }).classify(paths[0])),
  };
  await classifier.close();
  found.refused.closed = await refused(() => classifier.classify(paths[0]));
  process.stdout.write(JSON.stringify(found));
  process.exit(0);
}

main();
