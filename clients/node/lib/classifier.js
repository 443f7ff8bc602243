"use strict";
// The classifier: image files in, labels and probabilities out.
//
// The server decodes the images (the ensemble <model>_image, by either name). The model's labels and
// activation are read once per served version; when another version computes a request, they are
// read again.

const { randomBytes } = require("node:crypto");
const fs = require("node:fs/promises");
const { setTimeout: sleep } = require("node:timers/promises");
const { Connection } = require("./connection.js");
const { BadImageError, ModelError, ServerError, UnavailableError, UsageError } =
  require("./errors.js");
const { predictions, SOFTMAX } = require("./predictions.js");

const VERSION_CHANGES = 3;
const KEPT_MS = 10_000;
const READY_POLL_MS = 100;
const LONGEST_ID = 100;
const ID = /^[!#-Z^-~]*$/;
const IMAGE = "_image";

class VersionChangedError extends Error {}

class Classifier {
  #connection;
  #known = null;
  #name = randomBytes(4).toString("hex");
  #sent = 0;

  constructor(url = "127.0.0.1:8001", model = "resnet50", options = {}) {
    if (typeof model !== "string" || !model) {
      throw new UsageError(`model is a text, not ${String(model)}`);
    }
    checkOptions("a Classifier", options, ["timeoutMs", "version", "tls", "headers"]);
    const { version = "", ...rest } = options;
    if (typeof version !== "string" || !/^[0-9]*$/.test(version)) {
      throw new UsageError(`a version is a text such as "1", not ${String(version)}`);
    }
    this.model = model;
    this.served = model.endsWith(IMAGE) ? model : `${model}${IMAGE}`;
    this.version = version;
    this.#connection = new Connection(url, rest);
  }

  async classify(image, options = {}) {
    checkOptions("classify", options, ["top", "requestId"]);
    const { top, requestId = "" } = options;
    checkCount("top", top);
    checkId(requestId);
    const found = await this.#classify(await bytesOf(image), nameOf(image), top, requestId);
    return found.predictions;
  }

  async *classifyMany(images, options = {}) {
    checkOptions("classifyMany", options, ["top", "concurrency", "progress", "requestId"]);
    const { top, concurrency = 4, progress, requestId = "" } = options;
    checkCount("top", top);
    checkCount("concurrency", concurrency);
    checkId(requestId);
    if (typeof images === "string" || isBytes(images)) {
      throw new UsageError("classifyMany needs several images; for one, use classify");
    }
    const running = [];
    let done = 0;
    let number = 0;
    const first = async () => {
      const result = await running.shift();
      if (result.failure) throw result.failure;
      done += 1;
      if (progress) progress(done);
      return result;
    };
    for await (const image of images) {
      number += 1;
      running.push(this.#outcome(image, top, requestId && `${requestId}-${number}`));
      if (running.length >= concurrency) yield await first();
    }
    while (running.length) yield await first();
  }

  async waitReady(timeoutMs) {
    const deadline = this.#connection.deadline(timeoutMs);
    const request = { name: this.served, version: this.version };
    for (;;) {
      const { ready } = await this.#connection.call("ModelReady", request, deadline, this.served);
      if (ready) return;
      if (deadline.end - Date.now() <= READY_POLL_MS) {
        throw new UnavailableError(`model ${this.served} is not ready in time`);
      }
      await sleep(READY_POLL_MS);
    }
  }

  close() {
    return this.#connection.close();
  }

  async #outcome(image, top, requestId) {
    try {
      const found = await this.#classify(await bytesOf(image), nameOf(image), top, requestId);
      return { image, ...found, error: null };
    } catch (error) {
      if (error instanceof BadImageError) return { image, predictions: [], requestId, error };
      return { failure: error };
    }
  }

  async #classify(bytes, name, top, requestId) {
    const deadline = this.#connection.deadline();
    for (let attempt = 0; attempt < VERSION_CHANGES; attempt += 1) {
      const contract = await this.#contract(bytes, name, deadline);
      try {
        const { id, output } = await this.#infer(bytes, 0, contract, name, deadline, requestId);
        const logits = Array.from(floats(output));
        if (logits.length !== contract.labels.length) {
          throw new ServerError(`${logits.length} logits for ${contract.labels.length} labels`);
        }
        const best = predictions(logits, contract.labels, top, contract.activation);
        return { predictions: best, requestId: id };
      } catch (error) {
        if (!(error instanceof VersionChangedError)) throw error;
        this.#known = null;
      }
    }
    throw new ModelError(`model ${this.served}: its version changed during every attempt`);
  }

  async #contract(bytes, name, deadline) {
    const known = this.#known;
    const recent = known && Date.now() - known.readAt < KEPT_MS;
    if (recent && known.failures === this.#connection.failures) return known;
    await this.#connection.learnServer(deadline);
    const version = this.version || (await this.#latest(deadline));
    const same = known && known.version === version;
    if (same && known.failures === this.#connection.failures) {
      known.readAt = Date.now();
      return known;
    }
    const request = { name: this.served, version };
    const { config } = await this.#connection.call("ModelConfig", request, deadline, this.served);
    const logits = config.output.find((output) => output.name === "logits");
    if (!logits || logits.dims.length !== 1 || !(logits.dims[0] > 0)) {
      throw new ModelError(`model ${this.served} has no output logits`);
    }
    const stated = config.parameters.activation;
    const activation = stated ? { thresholds: [], ...JSON.parse(stated.string_value) } : SOFTMAX;
    const contract = { version, activation, input: config.input[0].name };
    const { output } = await this.#infer(bytes, logits.dims[0], contract, name, deadline);
    contract.labels = labelsIn(output);
    contract.readAt = Date.now();
    contract.failures = this.#connection.failures;
    this.#known = contract;
    return contract;
  }

  async #latest(deadline) {
    const request = { name: this.served };
    const about = await this.#connection.call("ModelMetadata", request, deadline, this.served);
    return String(Math.max(...about.versions.map(Number)));
  }

  /**
   * The raw bytes of the logits, or of the strings of the best `classes`, and the id that the
   * server's access log has.
   */
  async #infer(bytes, classes, contract, name, deadline, requestId) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    const request = {
      model_name: this.served,
      model_version: this.version,
      id: requestId || this.#nextId(),
      inputs: [{ name: contract.input, datatype: "BYTES", shape: [1, 1] }],
      outputs: [
        {
          name: "logits",
          parameters: classes ? { classification: { int64_param: classes } } : {},
        },
      ],
      raw_input_contents: [Buffer.concat([length, bytes])],
    };
    let response;
    try {
      response = await this.#connection.call("ModelInfer", request, deadline, this.served);
    } catch (error) {
      if (!error.invalidInput) throw error;
      const reason = error.said.replace(/^(in ensemble '[^']*', )?(image: )?/, "");
      throw new BadImageError(`${name}: ${reason}`);
    }
    if (response.model_version !== contract.version) throw new VersionChangedError();
    return { id: response.id, output: response.raw_output_contents[0] };
  }

  #nextId() {
    this.#sent += 1;
    return `${this.#name}-${this.#sent}`;
  }
}

function floats(buffer) {
  const copy = Uint8Array.from(buffer);
  return new Float32Array(copy.buffer);
}

/** The labels in the order of the classes, from strings value:index[:label]. */
function labelsIn(buffer) {
  const labels = [];
  for (let at = 0; at < buffer.length; ) {
    const length = buffer.readUInt32LE(at);
    const text = buffer.toString("utf8", at + 4, at + 4 + length);
    const [, index, label] = /^[^:]*:([0-9]+)(?::([^]*))?$/.exec(text) ?? [];
    if (index === undefined) throw new ServerError("the response is not value:index[:label]");
    labels[Number(index)] = label ?? index;
    at += 4 + length;
  }
  return labels;
}

/** What fs.readFile gives, and what fetch(…).arrayBuffer() does. */
function isBytes(image) {
  return image instanceof Uint8Array || image instanceof ArrayBuffer;
}

async function bytesOf(image) {
  if (isBytes(image)) return image instanceof ArrayBuffer ? new Uint8Array(image) : image;
  if (typeof image !== "string") {
    const what = image === null || image === undefined ? String(image) : `a ${typeof image}`;
    throw new BadImageError(`image: ${what} is not an image`, "Give a path, or bytes.");
  }
  try {
    return await fs.readFile(image);
  } catch (error) {
    throw new BadImageError(`${image}: cannot read (${error.code})`);
  }
}

function nameOf(image) {
  return typeof image === "string" ? image : "image";
}

/** A misspelt option would be as if it were not given. */
function checkOptions(what, options, known) {
  const wrong = Object.keys(options).find((name) => !known.includes(name));
  if (wrong !== undefined) {
    throw new UsageError(`${what} has no option ${wrong}, but ${known.join(", ")}`);
  }
}

function checkCount(name, value) {
  if (value !== undefined && (!Number.isInteger(value) || value < 1)) {
    throw new UsageError(`${name} is a whole number above 0, not ${String(value)}`);
  }
}

/** Triton writes ids into its log as they are. */
function checkId(value) {
  if (typeof value !== "string" || value.length > LONGEST_ID || !ID.test(value)) {
    throw new UsageError(
      `requestId is up to ${LONGEST_ID} letters, digits and signs of ASCII without spaces, ` +
        `quotes, brackets and backslashes, not ${JSON.stringify(value) ?? String(value)}`,
    );
  }
}

module.exports = { Classifier };
