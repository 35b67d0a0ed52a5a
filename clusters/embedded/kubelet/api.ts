import { Agent, request } from "node:https";
import type { IncomingMessage, RequestOptions } from "node:http";
import { createInterface } from "node:readline";
import type { KubeConfig } from "@kubernetes/client-node";

/**
 * The few calls that a kubelet makes, on raw JSON.
 *
 * Not client-node's typed API: it opens a new TLS connection for every call (a dispatcher per request), and its
 * serializer drops fields that its model does not know, such as `status.declaredFeatures` of a newer Node.
 * Objects are typed with its models, but their timestamps are strings, as in the JSON.
 */
export class Api {
  readonly #server: URL;
  readonly #tls: RequestOptions;
  readonly #agent: Agent;

  private constructor(server: URL, tls: RequestOptions) {
    this.#server = server;
    this.#tls = tls;
    this.#agent = new Agent({ ...tls, keepAlive: true, maxSockets: 16 } as object);
  }

  static async of(config: Credentials): Promise<Api> {
    const server = config.getCurrentCluster()?.server;
    if (!server) throw new Error("the kubelet's kubeconfig names no cluster");
    const options: RequestOptions & { agent?: unknown } = {};
    await config.applyToHTTPSOptions(options);
    const { agent: _, ...tls } = options;
    return new Api(new URL(server), tls);
  }

  get<T>(path: string): Promise<T> {
    return this.#call("GET", path);
  }

  create<T>(path: string, body: unknown): Promise<T> {
    return this.#call("POST", path, body);
  }

  replace<T>(path: string, body: unknown): Promise<T> {
    return this.#call("PUT", path, body);
  }

  patch<T>(path: string, body: unknown, kind: "merge" | "strategic-merge" = "merge"): Promise<T> {
    return this.#call("PATCH", path, body, `application/${kind}-patch+json`);
  }

  remove<T>(path: string, body: unknown): Promise<T> {
    return this.#call("DELETE", path, body);
  }

  /** Gives each watch event to `onEvent` until the stream ends. */
  async watch(path: string, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void> {
    const response = await this.#send("GET", path, undefined, undefined, {
      agent: new Agent(this.#tls as object),
      signal,
    });
    if (response.statusCode !== 200) throw await failure(response);
    for await (const line of createInterface(response)) if (line) onEvent(JSON.parse(line) as WatchEvent);
  }

  close(): void {
    this.#agent.destroy();
  }

  async #call<T>(method: string, path: string, body?: unknown, type = "application/json"): Promise<T> {
    const response = await this.#send(method, path, body === undefined ? undefined : JSON.stringify(body), type);
    if ((response.statusCode ?? 0) >= 300) throw await failure(response);
    return JSON.parse(await textOf(response)) as T;
  }

  #send(
    method: string,
    path: string,
    body: string | undefined,
    type: string | undefined,
    more: RequestOptions = {},
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const call = request(
        new URL(path, this.#server),
        {
          ...this.#tls,
          agent: this.#agent,
          ...more,
          method,
          headers: {
            ...(this.#tls.headers as Record<string, string> | undefined),
            accept: "application/json",
            "user-agent": "meshproof-kubelet",
            ...(body === undefined ? {} : { "content-type": type, "content-length": Buffer.byteLength(body) }),
          },
        },
        resolve,
      );
      call.on("error", reject);
      call.end(body);
    });
  }
}

/** The parts of a KubeConfig that are read. */
export type Credentials = Pick<KubeConfig, "getCurrentCluster" | "applyToHTTPSOptions">;

export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: KubeObject & { code?: number; message?: string };
}

export interface KubeObject {
  metadata?: { name?: string; namespace?: string; uid?: string; resourceVersion?: string };
}

/** The API server's refusal, with its HTTP status. */
export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

export function isStatus(error: unknown, status: number): boolean {
  return error instanceof ApiError && error.status === status;
}

async function failure(response: IncomingMessage): Promise<ApiError> {
  const text = await textOf(response);
  let message = text;
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? text;
  } catch {
    // Not a v1.Status: the text itself is all there is.
  }
  return new ApiError(response.statusCode ?? 0, message);
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
