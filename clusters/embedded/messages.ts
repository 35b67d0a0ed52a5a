import type { Installed } from "../components/components.ts";
import type { Manifest } from "../../harness/mesh/client.ts";

/** The supervisor's only argument (JSON). */
export interface SupervisorOptions {
  readonly name: string;
  /** The run dirs' base folder. */
  readonly base: string;
  readonly apiPort: number;
  readonly installed: Omit<Installed, "bin">;
  /** Starts from this data. */
  readonly data?: StartData;
  /** Starts etcd and the API server alone, and copies etcd's data to this folder on `finish`. */
  readonly makeDataAt?: string;
}

/** etcd's data that clusters start from. */
export interface StartData {
  /** Absolute path. */
  readonly folder: string;
  /** What each cluster has for itself, with a placeholder for the certificate of its JWKS authority; applied before anything runs. */
  readonly own: readonly { readonly path: string; readonly object: Manifest }[];
}

/** Messages from the starting process to the supervisor, over Node's IPC channel. Closing it without a `keep` ends the cluster. */
export type ToSupervisor =
  /** With the listening socket of the loopback relay. */
  | { readonly type: "relay" }
  | { readonly type: "keep" }
  /** With `makeDataAt`: all objects are applied. */
  | { readonly type: "finish" };

export type FromSupervisor =
  | { readonly type: "progress"; readonly line: string }
  /** The API server answers. */
  | { readonly type: "api" }
  /** The node is Ready, names resolve, Services work. */
  | { readonly type: "ready" }
  /** The data has been copied. */
  | { readonly type: "made" }
  | { readonly type: "failed"; readonly message: string };
