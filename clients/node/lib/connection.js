"use strict";
// Calls to one Triton, each until its deadline.
//
// A call that fails for a reason that may pass is sent again, with growing pauses and jitter. On
// Triton before 2.57 an inference is never cancelled: a gRPC deadline that expires close to the
// response can crash the server (triton-inference-server/server #7368). It gets a deadline 120 s
// behind the caller's, who does not wait for it.

const path = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");
const { ClientError, DeadlineError, ModelError, ServerError, UnavailableError, UsageError } =
  require("./errors.js");

const BEHIND_MS = 120_000;
const DRAIN_MS = 5_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;
const LEAST_MS = 20;
const PROBE_MS = 2_000;
const LARGEST_MESSAGE = 2 ** 31 - 1;
const FULL_QUEUE = "Its queue is full: send less at once, or allow a longer timeout.";
const UNTRUSTED = /unable to (verify|get)|self.signed cert|certificate has expired|altnames/i;
const NO_TLS = /wrong version number/i;
const PERMANENT = new RegExp(
  `protocol is restricted|http1|HTTP/1|Name resolution failed|${UNTRUSTED.source}|${NO_TLS.source}`,
  "i",
);

const protocol = loader.loadSync("grpc_service.proto", {
  includeDirs: [path.join(__dirname, "..", "proto")],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { GRPCInferenceService } = grpc.loadPackageDefinition(protocol).inference;

class Connection {
  constructor(url, { timeoutMs = 30_000, tls = false, headers = {} } = {}) {
    if (typeof url !== "string" || !/^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+):\d{1,5}$/.test(url)) {
      throw new UsageError(
        `${JSON.stringify(url)} is not an address`,
        "Give host:port of the server's gRPC endpoint, as in 127.0.0.1:8001.",
      );
    }
    this.url = url;
    this.encrypted = Boolean(tls);
    this.certified = Boolean(tls && tls.certificate);
    this.timeoutMs = milliseconds("timeoutMs", timeoutMs);
    this.failures = 0;
    this.cancelsSafely = false;
    this.closed = false;
    this.running = new Set();
    this.responded = new Set(); // models
    this.headers = new grpc.Metadata();
    for (const [name, value] of Object.entries(headers)) {
      try {
        this.headers.set(name, value);
      } catch (error) {
        throw new UsageError(`the header ${name} cannot be sent (${error.message})`);
      }
    }
    this.client = new GRPCInferenceService(url, credentials(tls), {
      "grpc.max_send_message_length": LARGEST_MESSAGE,
      "grpc.max_receive_message_length": LARGEST_MESSAGE,
      "grpc.enable_retries": 0,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 500,
      ...(/^(localhost|127\.|\[::1\])/.test(url) ? { "grpc.enable_http_proxy": 0 } : {}),
    });
  }

  /** Until when the caller waits who begins now; `end` is in milliseconds since the epoch. */
  deadline(timeoutMs = this.timeoutMs) {
    return { timeoutMs, end: Date.now() + milliseconds("timeoutMs", timeoutMs) };
  }

  async learnServer(deadline) {
    const { version } = await this.call("ServerMetadata", {}, deadline);
    const [major, minor] = version.split(".").map(Number);
    this.cancelsSafely = major > 2 || (major === 2 && minor >= 57);
    return version;
  }

  /** One call of the protocol, sent again until the deadline. `model` is for the messages. */
  async call(method, request, deadline, model) {
    const { end, timeoutMs } = deadline;
    let longest = FIRST_PAUSE_MS;
    let refusal = null;
    for (;;) {
      if (this.closed) throw new ClientError("this Classifier is closed");
      const hasty = end - Date.now() < timeoutMs / 2;
      try {
        const response = await this.#send(method, request, end);
        this.responded.add(model);
        return response;
      } catch (error) {
        const late = error instanceof DeadlineError || error.code === grpc.status.DEADLINE_EXCEEDED;
        // An attempt that began late says less than the refusal before it.
        const telling = late && hasty && refusal ? refusal : error;
        if (this.closed) throw new ClientError("this Classifier is closed");
        if (telling instanceof ClientError) throw telling;
        this.failures += 1;
        refusal = telling;
        const left = end - Date.now() - LEAST_MS;
        if (left <= 0 || !(mayPass(telling) || (await this.#comes(telling, model)))) {
          throw this.#explained(telling, model, await this.#instead(telling));
        }
        await sleep(Math.min(left, longest * (0.5 + Math.random() / 2)));
        longest = Math.min(2 * longest, LONGEST_PAUSE_MS);
      }
    }
  }

  async close() {
    if (this.closed) return;
    this.closed = true;
    const ended = Promise.allSettled([...this.running]);
    const waiting = new AbortController();
    const late = sleep(DRAIN_MS, null, { signal: waiting.signal }).catch(() => null);
    if (this.running.size && !this.cancelsSafely) await Promise.race([ended, late]);
    waiting.abort();
    this.client.close();
  }

  async #send(method, request, end) {
    const behind = method === "ModelInfer" && !this.cancelsSafely ? BEHIND_MS : 0;
    const response = new Promise((resolve, reject) => {
      this.client[method](request, this.headers, { deadline: end + behind }, (error, found) =>
        error ? reject(error) : resolve(found),
      );
    });
    if (!behind) return response;
    const settled = response.catch(() => null).finally(() => this.running.delete(settled));
    this.running.add(settled);
    const waiting = new AbortController();
    const late = sleep(Math.max(0, end - Date.now()), null, { signal: waiting.signal }).then(
      () => {
        throw this.#tooLate();
      },
      () => null,
    );
    try {
      return await Promise.race([response, late]);
    } finally {
      waiting.abort();
    }
  }

  #tooLate() {
    return new DeadlineError(
      `no response from ${this.url} in time`,
      "The server may be overloaded: send less, or allow a longer timeout.",
    );
  }

  /** The error of a connection that cannot be made; null for a server that has answered. */
  #unreachable(said) {
    if (UNTRUSTED.test(said)) {
      return new UnavailableError(
        `the certificate of the server at ${this.url} is not accepted`,
        "Give the authority that signed it, tls: { ca }, and its host name.",
      );
    }
    if (NO_TLS.test(said)) {
      return new UnavailableError(
        `the server at ${this.url} does not speak TLS`,
        "Connect without TLS.",
      );
    }
    if (this.encrypted && /Failed to connect/.test(said)) {
      // The server's certificate is accepted by then; the server says no reason.
      const [wants, again] = this.certified
        ? ["does not accept this client's", "one that its authority signed, with "]
        : ["requires a client", ""];
      return new UnavailableError(
        `the server at ${this.url} ${wants} certificate`,
        `Give ${again}tls: { key, certificate }.`,
      );
    }
    if (/Failed to connect|Protocol error/.test(said)) {
      return new UnavailableError(
        `the server at ${this.url} does not speak gRPC, or speaks it only over TLS`,
        "Triton's gRPC port is 8001 by default; 8000 is HTTP. TLS: { tls: true }.",
      );
    }
    return /No connection established|Connection dropped|ECONNREFUSED|ECONNRESET/.test(said)
      ? new UnavailableError(`no server answers at ${this.url}`)
      : null;
  }

  /** Whether a model that is not found may be found later: the server starts, or ends. */
  async #comes(error, model) {
    if (error.code !== grpc.status.NOT_FOUND) return false;
    if (this.responded.has(model)) return true;
    try {
      const { ready } = await this.#send("ServerReady", {}, Date.now() + PROBE_MS);
      return !ready;
    } catch (refusal) {
      return mayPass(refusal);
    }
  }

  /** The remedy for a model that the server has not: those that it has, where it tells. */
  async #instead(error) {
    if (error.code !== grpc.status.NOT_FOUND) return undefined;
    try {
      const found = await this.#send("ModelStatistics", {}, Date.now() + PROBE_MS);
      const names = found.model_stats.map((each) => each.name);
      const classifiers = names.filter((name) => names.includes(`${name}_image`));
      return `It serves ${[...new Set(classifiers)].join(", ") || "no classifier"}.`;
    } catch (refusal) {
      if (mayPass(refusal)) throw this.#explained(refusal); // it is ending
      return "It restricts the list of its models; `resnet-serve list` shows them.";
    }
  }

  #explained(error, model, instead) {
    const said = (error.details || "no reason given").replace(/^(\[request id: [^\]]*\] )+/, "");
    const busy = `the server at ${this.url} accepts no requests now: ${said}`;
    if (/queue size/i.test(said)) return new UnavailableError(busy, FULL_QUEUE);
    switch (error.code) {
      case grpc.status.UNAVAILABLE:
        return this.#unreachable(said) ?? new UnavailableError(busy);
      case grpc.status.CANCELLED:
        return new UnavailableError(busy);
      case grpc.status.UNIMPLEMENTED:
        return new UnavailableError(`the server at ${this.url} is not a Triton (${said})`);
      case grpc.status.DEADLINE_EXCEEDED:
        return this.#tooLate();
      case grpc.status.NOT_FOUND:
        return new ModelError(
          `the server at ${this.url} serves no model ${model} (${said})`,
          instead,
        );
      default: {
        const refused = new ServerError(model ? `model ${model}: ${said}` : said);
        refused.invalidInput = error.code === grpc.status.INVALID_ARGUMENT;
        refused.said = said;
        return refused;
      }
    }
  }
}

function mayPass(error) {
  const said = error.details || "";
  if (error.code === grpc.status.UNAVAILABLE) return !PERMANENT.test(said);
  if (error.code === grpc.status.CANCELLED) return true; // by a server that ends
  if (error.code === grpc.status.RESOURCE_EXHAUSTED) return /queue/i.test(said);
  if (error.code === grpc.status.INTERNAL) {
    return /stub process.*(not |un)healthy|RST_STREAM/i.test(said);
  }
  return false;
}

function credentials(tls) {
  if (!tls) return grpc.credentials.createInsecure();
  const { ca = null, key = null, certificate = null } = tls === true ? {} : tls;
  if ((key === null) !== (certificate === null)) {
    throw new UsageError("a client's certificate and its key are given together");
  }
  return grpc.credentials.createSsl(ca, key, certificate);
}

function milliseconds(name, value) {
  if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) {
    throw new UsageError(`${name} is a number of milliseconds above 0, not ${String(value)}`);
  }
  return value;
}

module.exports = { Connection };
