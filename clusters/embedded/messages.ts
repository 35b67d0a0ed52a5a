import type { Installed } from "../components/components.ts";

/** The supervisor's only argument (JSON). */
export interface SupervisorOptions {
  readonly name: string;
  /** The run dirs' base folder. */
  readonly base: string;
  readonly apiPort: number;
  readonly installed: Omit<Installed, "bin">;
}

/** Messages from the starting process to the supervisor, over Node's IPC channel. Closing it without a `keep` ends the cluster. */
export type ToSupervisor =
  /** With the listening socket of the loopback relay. */
  { readonly type: "relay" } | { readonly type: "keep" };

export type FromSupervisor =
  | { readonly type: "progress"; readonly line: string }
  /** The API server answers. */
  | { readonly type: "api" }
  /** The node is Ready, names resolve, Services work. */
  | { readonly type: "ready" }
  | { readonly type: "failed"; readonly message: string };
