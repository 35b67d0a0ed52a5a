/** Code that the Bookinfo services share: a server for request handlers, and calls to a backend that forward the caller's context. */

import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server } from "node:http";

export interface Call {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type Handler = (call: Call) => Reply | Promise<Reply>;

/**
 * What a service must hand on, so that the spans of the proxies become one trace (Istio, "Distributed tracing": trace
 * context propagation); the last line is Bookinfo's own context.
 */
const propagated = [
  ...["x-request-id", "traceparent", "tracestate", "x-ot-span-context"],
  ...["b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags"],
  ...["end-user", "user-agent", "cookie", "authorization", "jwt"],
];

export const maxBodyBytes = 64 * 1024;

export function json(status: number, value: unknown): Reply {
  return { status, headers: { "content-type": "application/json" }, body: JSON.stringify(value) };
}

/** A server that answers by this handler: 413 for a body over 64 KiB, 500 where the handler throws. One log line per request but probes. */
export function serve(handler: Handler): Server {
  const server = createServer((request, response) => {
    void answer(handler, request).then((reply) => {
      response.writeHead(reply.status, reply.headers).end(reply.body);
      const { method, url: path, headers } = request;
      if (path !== "/health")
        console.log(JSON.stringify({ method, path, status: reply.status, request: headers["x-request-id"] }));
    });
  });
  // The proxy in front keeps connections for an hour: closing one while a request is on its way would be a 503.
  server.keepAliveTimeout = 0;
  return server;
}

/** GETs a backend with the context of a call; undefined where no answer came within the limit. */
export async function ask(url: string, call: Call, extra: Record<string, string>, limitMs: number) {
  const context = propagated.flatMap((name) => {
    const value = call.headers[name];
    return typeof value === "string" ? [[name, value] as const] : [];
  });
  try {
    const response = await fetch(url, {
      headers: { ...Object.fromEntries(context), ...extra },
      signal: AbortSignal.timeout(limitMs),
    });
    return { status: response.status, body: await response.text() };
  } catch (error) {
    console.error(`no answer from ${url}: ${String(error instanceof Error ? (error.cause ?? error) : error)}`);
    return undefined;
  }
}

async function answer(handler: Handler, request: IncomingMessage): Promise<Reply> {
  try {
    const body = await readBody(request);
    if (body === undefined) return json(413, { error: `the body is over ${maxBodyBytes} bytes` });
    const path = (request.url ?? "/").replace(/\?.*$/s, "");
    return await handler({ method: request.method ?? "GET", path, headers: request.headers, body });
  } catch (error) {
    console.error(error);
    return json(500, { error: "internal error" });
  }
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  // All of it is read, so that the refusal reaches a client that is still sending.
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= maxBodyBytes) chunks.push(chunk);
  }
  return size <= maxBodyBytes ? Buffer.concat(chunks).toString() : undefined;
}
