/** A ticket, and what it becomes. */

import type { MeshSetting } from "../model/cluster.ts";
import type { Expectation } from "../model/scenario.ts";
import type { Caller, Difference, Hint } from "../model/ticket.ts";
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
  /** Of a ConfigMap. */
  readonly data?: Readonly<Record<string, string>>;
  /** A CUSTOM policy that asks the authorizer of `--authorizer`. */
  readonly scripted?: true;
}

export interface Ticket {
  /** Small letters, digits and hyphens. */
  readonly name: string;
  readonly objects: readonly TicketObject[];
  readonly request: TicketRequest;
  /** The tokens of the request that are known, in its order. */
  readonly tokens: readonly GivenToken[];
  /** `--from` */
  readonly from?: string;
  /** `--authorizer` */
  readonly authorizer?: Authorizer;
  /** Whether a `jwksUri` answers. */
  readonly jwks: "reachable" | "unreachable";
  /** The image of the stand-in. */
  readonly image: string;
}

export interface Translation {
  /** `tickets/<name>` */
  readonly id: string;
  /** Text by path below the folder `scenarios`, but scenario.yaml. */
  readonly files: ReadonlyMap<string, string>;
  readonly columns: readonly string[];
  /** The first is the request of the ticket; the others are paths that a workload may take for the same. */
  readonly rows: readonly string[];
  /** The column that stands for the request as given. */
  readonly given: string;
  readonly issuers: readonly MadeIssuer[];
  readonly rules: readonly JwtRule[];
  readonly topology: Topology;
  /** The settings of the ticket's mesh that meshproof's mesh gets. */
  readonly mesh: MeshSetting;
  /** Who sends: the name of a scenario's place, and whom it stands for. */
  readonly callers: readonly { readonly place: Place; readonly caller: Caller }[];
  /** Hosts that the certificate of the stand-ins and of the gateway names; empty where there is no TLS. */
  readonly certificate: {
    readonly hosts: readonly string[];
    readonly secrets: readonly { readonly namespace: string; readonly name: string }[];
  };
  readonly differences: readonly Difference[];
  readonly hints: readonly Hint[];
  /** Files and a scenario for any cluster; or why there are none. */
  readonly exported:
    | { readonly files: ReadonlyMap<string, string>; readonly rename: (scenario: string) => string }
    | { readonly why: string };
  /** scenario.yaml with what each cell expects. */
  scenario(expect: (row: number, column: number) => Expectation, forExport?: boolean): string;
}

export type Place = "sleep" | "neighbour" | "outside";
