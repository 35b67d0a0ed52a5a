/** What Envoy's codec refuses or answers before any filter sees the request, and how it answers gRPC requests. */

import type { Decision } from "../model/explanation.ts";
import { at } from "./tree.ts";
import type { OracleRequest } from "./types.ts";
import { notRead, undecidedBy } from "./undecided.ts";

/** Methods that HTTP/1 may have (source/common/http/http1/balsa_parser.cc; measured with Envoy 1.40.0); HTTP/2 may have any. */
const METHODS = new Set(
  [
    "ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH NOTIFY OPTIONS PATCH",
    "POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE",
  ].flatMap((line) => line.split(" ")),
);

/** Characters that HTTP/1 refuses in a header's value (RFC 9110 section 5.5); in a host it refuses all that are not ASCII, too. */
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;

/** The proxy's answer to a request that it cannot read, or why that is not known; undefined if it reads the request. */
export function judgeCodec(manager: unknown, request: OracleRequest): Decision | undefined {
  const { method, path, authority, headers, protocol } = request;
  const tooLarge = judgeSize(manager, request);
  if (tooLarge !== undefined) return tooLarge;
  // Its target is an authority, and other routes take it.
  if (method === "CONNECT") return undecidedBy(notRead("request-target"));
  const oddHeaders = headers.some(([, value]) => CONTROL.test(value)) || !/^[ -~]*$/.test(authority ?? "");
  const odd =
    oddHeaders ||
    (!METHODS.has(method) && at(manager, "http_protocol_options", "allow_custom_methods") !== true) ||
    !/^[!-~]*$/.test(path);
  const old = protocol === "http/1.0" && at(manager, "http_protocol_options", "accept_http_10") !== true;
  if (!odd && !old) return undefined;
  if (protocol === undefined) return undecidedBy({ kind: "protocol" });
  // HTTP/2 takes any method; bytes of a path are judged with the path.
  if (protocol === "h2c") return oddHeaders ? undecidedBy(notRead("header-bytes")) : undefined;
  return {
    verdict: "refused",
    status: odd ? 400 : 426,
    by: "proxy",
    details: odd ? "http1.codec_error" : "low_version",
    reason: { kind: "request-refused" },
  };
}

/** Envoy's default of `max_request_headers_kb`. */
const HEADERS_KB = 60;
/** What clients and proxies on the way add, such as X-Request-Id and X-Forwarded-Client-Cert. */
const ADDED = 2048;

function judgeSize(manager: unknown, { path, headers }: OracleRequest): Decision | undefined {
  const limit = 1024 * Number(at(manager, "max_request_headers_kb") ?? HEADERS_KB);
  const size = path.length + headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (size <= limit - ADDED) return undefined;
  if (size <= limit) return undecidedBy(notRead("header-size"));
  return { verdict: "refused", status: 431, by: "proxy", reason: { kind: "request-refused" } };
}

/** Grpc::Common::hasGrpcContentType */
export function isGrpc(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/grpc(\+|$)/.test(contentType);
}

/** An answer of the proxy itself to a gRPC request: HTTP 200 and a grpc-status (Grpc::Utility::httpToGrpcStatus). */
export function asGrpc(decision: Decision): Decision {
  const { verdict, by, status } = decision;
  if (verdict === "undecided" || verdict === "admitted" || by === "nobody" || !status) return decision;
  return { ...decision, status: 200, grpcStatus: GRPC_STATUS[status] ?? (status === 200 ? 0 : 2) };
}

const GRPC_STATUS: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};
