/** The input of an evaluation of a proxy's config; harness/model/explanation.ts has the result. */

import type { Condition, Missing } from "../model/explanation.ts";
import type { Envoy } from "./envoy.ts";
import type { Tree } from "./tree.ts";

/** A request as the proxy receives it. A missing field is unknown: a rule that needs it makes the answer undecided. */
export interface OracleRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly path: string;
  /** Whether another proxy of the mesh sends it, the client's sidecar or a gateway, which has normalized the path before. */
  readonly proxied?: boolean;
  /** `:authority`, that is the Host header. */
  readonly authority?: string;
  readonly protocol?: "http/1.0" | "http/1.1" | "h2c";
  /** In order; names in any case. They include the request's tokens. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The client's identity with mTLS, `spiffe://…` or without that prefix; without it the connection is plain text. */
  readonly peer?: string;
  /** The source address of the connection. */
  readonly sourceIp?: string;
  readonly destinationIp?: string;
  /** The server name of the TLS handshake. */
  readonly serverName?: string;
  /** The client itself speaks TLS, without a certificate; not the mTLS of its sidecar. */
  readonly tls?: boolean;
  /** The port of the workload, or of the gateway's listener. */
  readonly port?: number;
  /** A gateway sends it on, so that the host says nothing of the Service that a waypoint is asked for. */
  readonly byGateway?: boolean;
  /** The cluster of the gateway's route, `outbound|<port>|<subset>|<host>`, which names that Service. */
  readonly cluster?: string;
  /** Claims in place of a token in Authorization; no signature is verified. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** The facts that rules compare; undefined means "not known". */
export interface Facts {
  readonly method: string;
  /** The normalized path, with query. */
  readonly path: string;
  readonly authority: string | undefined;
  /** Headers with lower-case names. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  /** Undefined for plain text, and where it is not known whose HBONE it is. */
  readonly peer: string | undefined;
  /** It came by HBONE: there is a peer, even if it is not known, and no address of a connection. */
  readonly tunnel: boolean;
  readonly sourceIp: string | undefined;
  /** The client's address, from X-Forwarded-For if the proxy trusts it, or why it is not known. */
  readonly remoteIp: string | undefined | Unknown;
  /** The proxy writes X-Forwarded-For, X-Forwarded-Proto and X-Request-Id itself (`use_remote_address`). */
  readonly edge: boolean;
  readonly destinationIp: string | undefined;
  readonly serverName: string | undefined;
  readonly port: number | undefined;
  /** The verified token's claims, as jwt_authn writes them to its metadata; undefined without a verified token. */
  readonly payload: Tree | undefined;
  readonly envoy: Envoy;
}

/** Whether it matches, and the conditions that decided it: all that match, or all that fail. */
export type Match =
  | { readonly matched: boolean; readonly conditions: readonly Condition[] }
  | { readonly matched: "undecided"; readonly conditions: readonly []; readonly unknown: Missing };

/** Why something is not known. */
export interface Unknown {
  readonly unknown: Missing;
}
