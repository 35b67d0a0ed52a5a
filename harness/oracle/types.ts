/** What is asked of a proxy's config; harness/model/explanation.ts is what it says. */

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
