/** Images in, labels out, over gRPC from a Triton that serves a ResNet. */

/** The path of an image file, or its bytes (JPEG, PNG, WebP, …), as `fetch` gives them too. */
export type Image = string | Uint8Array | ArrayBuffer;

export interface Prediction {
  /** The class; its index as text where the server has no labels. */
  label: string;
  index: number;
  /** null where the outputs are raw scores. */
  probability: number | null;
  logit: number;
  /** The decision of a sigmoid on this label; absent otherwise. */
  aboveThreshold?: boolean;
}

/** The result for one image of many: its predictions, or the error of a bad image. */
export interface Classification {
  image: Image;
  predictions: Prediction[];
  /** The id of the request, as the server's access log has it. */
  requestId: string;
  error: BadImageError | null;
}

export interface Tls {
  /** PEM of the authorities to trust, instead of the system's. */
  ca?: Buffer;
  certificate?: Buffer;
  key?: Buffer;
}

export interface Options {
  /** How long each request may take, with its repetitions; 30,000 by default. */
  timeoutMs?: number;
  /** The served version, "" the latest. */
  version?: string;
  tls?: boolean | Tls;
  /** Sent with every request, such as { authorization: "Bearer …" }. */
  headers?: Record<string, string>;
}

/**
 * A classifier that the Triton at `url` (gRPC, host:port) serves as `model`. Images are decoded by
 * the server, as `<model>_image`, which may be given as well.
 */
export class Classifier {
  constructor(url?: string, model?: string, options?: Options);
  /**
   * The best classes of one image, best first; five, unless `top` says how many. `requestId` is for
   * the server's access log; by default each request has an id of its own.
   */
  classify(image: Image, options?: { top?: number; requestId?: string }): Promise<Prediction[]>;
  /**
   * Many images, `concurrency` requests at once, results in the images' order. Their requests are
   * called `requestId`-1, -2, … in the server's access log.
   */
  classifyMany(
    images: Iterable<Image> | AsyncIterable<Image>,
    options?: {
      top?: number;
      concurrency?: number;
      progress?: (done: number) => void;
      requestId?: string;
    },
  ): AsyncGenerator<Classification, void, void>;
  /** Resolves when the server answers and the model is ready. */
  waitReady(timeoutMs?: number): Promise<void>;
  /** Lets running requests end, for up to five seconds, and closes the connection. */
  close(): Promise<void>;
}

/** The base of all errors. */
export class ClientError extends Error {
  /** What to do about it, where there is something. */
  remedy?: string;
}
/** An argument that cannot work. */
export class UsageError extends ClientError {}
/** The server does not serve this model, or this client cannot use it. */
export class ModelError extends UsageError {}
/** No server answers, or it accepts no requests now. */
export class UnavailableError extends ClientError {}
/** No response within the timeout. */
export class DeadlineError extends UnavailableError {}
/** The server refused a request. */
export class ServerError extends ClientError {}
/** This image cannot be decoded. */
export class BadImageError extends ClientError {}
