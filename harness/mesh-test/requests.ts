/** What a test sends: a client's requests and their tokens, described and not yet sent. */

import type { TokenSpec, TokenVariant } from "../model/token.ts";
import type { ClientTls, Protocol, RequestSpec } from "../model/scenario.ts";

/** A token that is made when it is sent, so that its times count from then. Made by {@link Tokens}. */
export interface MeshToken {
  readonly name: string;
  readonly spec: TokenSpec;
}

/** Makes tokens. A second implementation verifies each one before it is sent. */
export interface Tokens {
  /**
   * Describes a token: its issuer (a file of `issuers`), and what differs from the issuer's usual one.
   * @example tokens.mint({ issuer: "corp", claims: { aud: ["orders"] } })
   */
  mint(spec: TokenSpec): MeshToken;
  /**
   * The same token, wrong in one way.
   * @example tokens.break(valid, "expired")
   */
  break(token: MeshToken, variant: Exclude<TokenVariant, "intact">): MeshToken;
}

/** What a request has beside its target and path. */
export interface RequestOptions {
  /** One token, or several at once. Default none. */
  readonly token?: MeshToken | readonly MeshToken[];
  /** More headers; a list sends the header once per value. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly protocol?: Protocol;
  /** The waypoint that a request to a gateway must pass, `waypoint/<name>`. */
  readonly through?: string;
  /** The name that the client resolves and connects to, in the place of the full name of the Service. */
  readonly host?: string;
  /** The client speaks TLS 1.2 whatever the target is, with a server name (SNI) if one is given. */
  readonly tls?: ClientTls;
}

/** A request that an expectation sends, in rounds, until its answers are final. */
export interface MeshRequest {
  readonly request: RequestSpec;
  readonly tokens: readonly MeshToken[];
}

type Send = (to: string, path: string, options?: RequestOptions) => MeshRequest;

/** A place that sends requests; each method describes one. */
export interface Client {
  /** @param to a Service in the test's namespace, `ingress`, or `gateway/<name>` */
  readonly get: Send;
  readonly post: Send;
  readonly put: Send;
  readonly patch: Send;
  readonly delete: Send;
  readonly options: Send;
  /** Any method, in capitals. */
  request(method: string, to: string, path: string, options?: RequestOptions): MeshRequest;
}

/** `sleep`: a pod with a sidecar; `neighbour`: one in another namespace; `outside`: a pod there without a sidecar. */
export type ClientName = "sleep" | "neighbour" | "outside";

export function clientOf(from: ClientName): Client {
  const request: Client["request"] = (method, to, path, { token = [], headers = {}, ...more } = {}) => ({
    request: {
      ...{ from, to, method, path },
      headers: Object.entries(headers).flatMap(([name, value]) => [value].flat().map((one) => [name, one] as const)),
      ...more,
    },
    tokens: [token].flat(),
  });
  const by =
    (method: string): Send =>
    (to, path, options) =>
      request(method, to, path, options);
  return {
    ...{ get: by("GET"), post: by("POST"), put: by("PUT"), patch: by("PATCH"), delete: by("DELETE") },
    options: by("OPTIONS"),
    request,
  };
}

export function createTokens(): Tokens {
  let made = 0;
  const named = (spec: TokenSpec): MeshToken => ({ name: `token-${++made}`, spec });
  return { mint: named, break: ({ spec }, variant) => named({ ...spec, variant }) };
}
