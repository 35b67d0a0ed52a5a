/** Types of a ticket and of its translation. */

import type { MeshSetting } from "../model/cluster.ts";
import type { Expectation } from "../model/scenario.ts";
import type { Hint } from "../model/hint.ts";
import type { Caller, Difference, JwksState, TokenState } from "../model/ticket.ts";
import type { Authorizer } from "./authorizer.ts";
import type { TicketRequest } from "./curl-line.ts";
import type { JwtRule, MadeIssuer } from "./issuers.ts";
import type { GivenToken } from "./token.ts";
import type { Topology } from "./topology.ts";

/** A Kubernetes object of a ticket. */
export interface TicketObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  /** Data of a ConfigMap. */
  readonly data?: Readonly<Record<string, string>>;
  /** A CUSTOM policy that asks the authorizer of `--authorizer`. */
  readonly scripted?: true;
}

export interface Ticket {
  /** Small letters, digits and hyphens. */
  readonly name: string;
  readonly objects: readonly TicketObject[];
  readonly request: TicketRequest;
  /** The known tokens of the request, in order. */
  readonly tokens: readonly GivenToken[];
  /** What the tokens were when they were sent, if the reporter's words or `--token-was` say so. */
  readonly tokenWas?: TokenState;
  /** When the ticket is read, in seconds since 1970. */
  readonly now: number;
  /** `--from` */
  readonly from?: string;
  /** Whether pods have a sidecar if the ticket does not show it; by default they have. */
  readonly sidecars?: boolean;
  /** `--authorizer` */
  readonly authorizer?: Authorizer;
  /** Whether a `jwksUri` answers, if the user says so. */
  readonly jwks?: JwksState;
  /** Of single issuers. */
  readonly jwksOf?: Readonly<Record<string, JwksState>>;
  /** The image of the stand-in. */
  readonly image: string;
}

export interface Translation {
  /** `tickets/<name>` */
  readonly id: string;
  /** Text by path below the folder `scenarios`, without scenario.yaml. */
  readonly files: ReadonlyMap<string, string>;
  readonly columns: readonly string[];
  /** The first is the request of the ticket; the others are paths that a workload may treat the same way. */
  readonly rows: readonly string[];
  /** The column of the ticket's request. */
  readonly given: string;
  /** Columns of the same request at another time. */
  readonly otherTimes: readonly { readonly column: string; readonly state: TokenState }[];
  readonly issuers: readonly MadeIssuer[];
  readonly rules: readonly JwtRule[];
  readonly topology: Topology;
  /** The settings of the ticket's mesh that meshproof applies to its own mesh. */
  readonly mesh: MeshSetting;
  /** The clients: the name of a scenario's place, and the client of the ticket that it replaces. */
  readonly callers: readonly { readonly place: Place; readonly caller: Caller }[];
  /** Hosts in the certificate of the stand-ins and the gateway; empty without TLS. */
  readonly certificate: {
    readonly hosts: readonly string[];
    readonly secrets: readonly { readonly namespace: string; readonly name: string }[];
  };
  readonly differences: readonly Difference[];
  readonly hints: readonly Hint[];
  /** Files and a scenario for any cluster, or why there are none. */
  readonly exported:
    | { readonly files: ReadonlyMap<string, string>; readonly rename: (scenario: string) => string }
    | { readonly why: string };
  /** Writes scenario.yaml with each cell's expectation. */
  scenario(expect: (row: number, column: number) => Expectation, forExport?: boolean): string;
}

export type Place = "sleep" | "neighbour" | "outside";
