/** What is asked of a proxy's config; harness/model/explanation.ts is what it says. */

import type { Condition, Missing } from "../model/explanation.ts";
import type { Tree } from "./tree.ts";

/** A request as the proxy would see it. What is left out is not known: a rule that needs it makes the answer undecided. */
export interface OracleRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly path: string;
  /** `:authority`, that is the Host header. */
  readonly authority?: string;
  /** In order; names in any case. Tokens are in here, where the request carries them. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The client's identity, `spiffe://…` or without that prefix, where it comes by mTLS; without it the connection is plain text. */
  readonly peer?: string;
  /** The address of the connection. */
  readonly sourceIp?: string;
  readonly destinationIp?: string;
  /** The server name of the TLS handshake. */
  readonly serverName?: string;
  /** The port of the workload, or of the gateway's listener. */
  readonly port?: number;
  /** Instead of a token in Authorization: its claims; no signature is verified. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** What the rules look at; undefined is "not known". */
export interface Facts {
  readonly method: string;
  /** Normalized, with query. */
  readonly path: string;
  readonly authority: string | undefined;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  /** undefined: plain text. */
  readonly peer: string | undefined;
  readonly sourceIp: string | undefined;
  /** The client's, by X-Forwarded-For where the proxy trusts it, or why it is not known. */
  readonly remoteIp: string | undefined | Unknown;
  /** The proxy writes X-Forwarded-For, X-Forwarded-Proto and X-Request-Id itself (`use_remote_address`). */
  readonly edge: boolean;
  readonly destinationIp: string | undefined;
  readonly serverName: string | undefined;
  readonly port: number | undefined;
  /** The verified token's claims, as jwt_authn leaves them in its metadata; undefined without one. */
  readonly payload: Tree | undefined;
}

/** Whether it matches, and the conditions that made it so: all that agree, or all that fail. */
export type Match =
  | { readonly matched: boolean; readonly conditions: readonly Condition[] }
  | { readonly matched: "undecided"; readonly conditions: readonly []; readonly unknown: Missing };

/** Why something is not known. */
export interface Unknown {
  readonly unknown: Missing;
}
