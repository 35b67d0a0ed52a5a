import { Agent, request } from "node:https";
import { setTimeout as delay } from "node:timers/promises";
import { API_PORT } from "./node-layout.ts";
import type { Pki } from "./pki.ts";

/** The supervisor's calls to the API server, as the cluster's administrator. */
export class AdminApi {
  readonly #agent: Agent;

  constructor(pki: Pki) {
    this.#agent = new Agent({
      ca: pki.authority.certificate,
      cert: pki.clients.admin.certificate,
      key: pki.clients.admin.privateKey,
      keepAlive: true,
    });
  }

  /** Waits until the API server is ready (`/readyz`, which includes bootstrap roles, namespaces and admission). */
  async untilReady(signal: AbortSignal): Promise<void> {
    await until(async () => (await this.#call("GET", "/readyz")).status === 200, signal);
  }

  /** Server-side apply; waits until the namespace exists. */
  async apply(path: string, object: object, signal: AbortSignal): Promise<void> {
    await until(async () => {
      const { status, body } = await this.#call("PATCH", `${path}?fieldManager=meshproof&force=true`, object);
      if (status >= 300 && status !== 404) throw new Error(`the API server refused ${path}: ${body}`);
      return status < 300;
    }, signal);
  }

  /** Waits until the API server's authorizer knows a role (`SubjectAccessReview`). */
  async untilAllowed(spec: object, signal: AbortSignal): Promise<void> {
    const path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    const review = { apiVersion: "authorization.k8s.io/v1", kind: "SubjectAccessReview", spec };
    await until(async () => {
      const { body } = await this.#call("POST", path, review, "application/json");
      return (JSON.parse(body) as { status?: { allowed?: boolean } }).status?.allowed === true;
    }, signal);
  }

  close(): void {
    this.#agent.destroy();
  }

  #call(
    method: string,
    path: string,
    object?: object,
    type = "application/apply-patch+yaml",
  ): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const call = request(
        {
          agent: this.#agent,
          host: "127.0.0.1",
          port: API_PORT,
          method,
          path,
          headers: object ? { "content-type": type } : {},
        },
        (response) => {
          let body = "";
          response.setEncoding("utf8");
          response.on("data", (chunk: string) => (body += chunk));
          response.once("error", reject);
          response.once("end", () => resolve({ status: response.statusCode ?? 0, body }));
        },
      );
      call.once("error", reject);
      call.end(object && JSON.stringify(object));
    });
  }
}

/** Repeats `ask` until it returns true. A refused connection counts as false: the server is still starting. */
export async function until(ask: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    try {
      if (await ask()) return;
    } catch (error) {
      // fetch() hides the socket's error in a cause.
      const { code, cause } = error as { code?: string; cause?: { code?: string } };
      if (!["ECONNREFUSED", "ECONNRESET"].includes(code ?? cause?.code ?? "")) throw error;
    }
    await delay(25, undefined, { signal });
  }
}
