import type { Upgradable } from "../harness/mesh/upgrade.ts";
import type { Cluster } from "./cluster.ts";

/** A cluster whose mesh this process can replace. */
export type UpgradableCluster = Cluster & Upgradable;
