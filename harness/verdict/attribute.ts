/** Decides who answered a request: the mesh's authentication, its authorization, a proxy, or the workload. */

import type { Answer } from "../model/result.ts";
import type { Answerer } from "../model/scenario.ts";

/** The evidence for that. Without `details` (Envoy's access log) only headers and body are left. */
export type Evidence = Pick<Answer, "status" | "headers" | "body" | "details">;

/**
 * Envoy's jwt_authn filter sets `Bearer realm="<URL of the request>"`, and an error unless the token is missing
 * (source/extensions/filters/http/jwt_authn/filter.cc). A workload's own `Bearer` or `Basic realm="…"` looks different.
 */
const JWT_CHALLENGE = /^Bearer realm="https?:\/\/[^"]*"(, error="invalid_token")?$/;

/** Every text of Envoy's source/common/jwt/status.cc starts like this; the reply to a HEAD request has none. */
const JWT_BODY =
  /^(Jwt |Jwks |Audiences in Jwt |Found multiple Jwt |\[\w+\] (in|is|field|or|specified|does) |X509 |PEM |Failed to create BIO ).*$|^$/;

/** source/extensions/filters/http/rbac/rbac_filter.cc */
const RBAC_BODY = "RBAC: access denied";

/** Local replies of Envoy's router and filters that reach the client through another proxy, which adds its own headers. */
const PROXY_BODY =
  /^(no healthy upstream|upstream connect error or disconnect\/reset before headers|upstream request timeout|stream timeout|request timeout|fault filter abort|local_rate_limited)/;

/** A request that Envoy's codec cannot read (source/common/http/http1/codec_impl.cc, ServerConnectionImpl::sendProtocolError); frameworks add a charset to its type. */
const CODEC_BODY = "Bad Request";

/**
 * Decides who answered.
 *
 * The response code details of a denial are certain. `via_upstream` only means that this proxy did not deny: behind a gateway the
 * workload's sidecar may have denied. Without details a 401 or 403 is the mesh's only if it looks exactly like Envoy's; any other
 * is the workload's. Sidecars overwrite `server`, so that header only shows that a proxy was on the path.
 */
export function attribute({ status, headers, body, details = "" }: Evidence): Answer["by"] {
  if (status === 0) return "nobody";
  const byDetails = answererIn(details);
  if (byDetails !== undefined) return byDetails;
  const challenge = headers["www-authenticate"] ?? "";
  // A local reply to gRPC has the status 200, the denial as grpc-status, and the body as grpc-message (Envoy's Utility::sendLocalReply).
  const grpc = status === 200 ? headers["grpc-status"] : undefined;
  const isDenial = [401, 403].includes(status) || grpc === "16" || grpc === "7";
  if (isDenial && JWT_CHALLENGE.test(challenge) && JWT_BODY.test(body)) return "authentication";
  if ((status === 403 || grpc === "7") && body === RBAC_BODY) return "authorization";
  const throughProxy = /^(istio-)?envoy$/.test(headers["server"] ?? "");
  // The router adds this header to every upstream response; without it no upstream answered.
  const fromUpstream = headers["x-envoy-upstream-service-time"] !== undefined;
  if (throughProxy && status >= 300 && !fromUpstream) return "proxy";
  if (throughProxy && status === 400 && body === CODEC_BODY && headers["content-type"] === "text/plain") return "proxy";
  return throughProxy && status >= 400 && PROXY_BODY.test(body) ? "proxy" : "workload";
}

function answererIn(details: string): Answerer | undefined {
  if (details.startsWith("jwt_authn_access_denied")) return "authentication";
  if (/^(rbac_access_denied|ext_authz_(denied|error))/.test(details)) return "authorization";
  return details === "" || details === "-" || details === "via_upstream" ? undefined : "proxy";
}
