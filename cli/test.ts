/**
 * `import { test, expect } from "meshproof/test"`: Playwright tests of a mesh. They apply policies, send requests, and wait for final
 * answers as scenarios do. docs/your-own-policies.md shows one.
 */

import { existsSync } from "node:fs";
import path from "node:path";
import { defineConfig as playwrightConfig, type PlaywrightTestConfig } from "@playwright/test";
import type { NamespaceMap } from "../harness/model/own-policy.ts";
import {
  IN_FORCE_LIMIT_MS,
  LIMIT_MS,
  readCluster,
  TESTS_VARIABLE,
  CLUSTER_VARIABLE,
  type ClusterChoice,
  type RunSettings,
} from "../harness/run/settings.ts";
import { EXTENSION, PROJECT, SCENARIOS } from "./context.ts";

export { expect, test } from "../harness/mesh-test/fixtures.ts";
export type { DenialOptions, MeshFixtures, MeshMatchers } from "../harness/mesh-test/fixtures.ts";
export type { Mesh, MeshSource } from "../harness/mesh-test/mesh-test.ts";
export type { ClientTls, NoAnswer } from "../harness/model/scenario.ts";
export type {
  Client,
  ClientName,
  MeshRequest,
  MeshToken,
  RequestOptions,
  Tokens,
} from "../harness/mesh-test/requests.ts";

/** What the tests need of meshproof. */
export interface MeshOptions {
  /** The cluster; default what `MESHPROOF_CLUSTER` names (`NAME`, `kind/NAME`, `existing/CONTEXT`), or a new one that is removed afterwards. */
  readonly cluster?: ClusterChoice;
  /** Workloads that are deployed: folders of meshproof's `scenarios/workloads`, or of the repository's. Default httpbin and sleep. */
  readonly workloads?: readonly string[];
  /** The folder whose `issuers` and `workloads` are used beside meshproof's own; default `mesh-tests`. */
  readonly scenarios?: string;
  /** What the namespaces of the repository's policies are: `{ shop: "${ns}" }`. */
  readonly namespaces?: NamespaceMap;
  /** The folder of meshproof's reports; default `results`. */
  readonly results?: string;
}

/**
 * Playwright's `defineConfig` for tests of a mesh: starts or attaches to the cluster before them, and writes meshproof's reports after.
 * Tests run one after the other, since they share the namespaces.
 */
export function defineConfig({
  mesh = {},
  ...config
}: PlaywrightTestConfig & { readonly mesh?: MeshOptions }): PlaywrightTestConfig {
  const folder = path.resolve(mesh.scenarios ?? "mesh-tests");
  const settings: RunSettings = {
    cluster: mesh.cluster ?? readCluster(process.env[CLUSTER_VARIABLE]),
    scenarios: existsSync(folder) ? folder : SCENARIOS,
    project: process.cwd(),
    ...(mesh.namespaces && { namespaces: mesh.namespaces }),
    profile: "istio",
    results: path.resolve(mesh.results ?? "results"),
    limitMs: LIMIT_MS,
    inForceLimitMs: IN_FORCE_LIMIT_MS,
    // Keys of a jwksUri are served by the last two.
    tests: {
      workloads: [
        ...new Set([
          ...(mesh.workloads ?? ["httpbin"]),
          "sleep",
          "outside",
          "neighbour",
          "nginx-proxy",
          "outside-host",
        ]),
      ],
    },
  };
  // Workers read the config again, and may have another working directory.
  process.env[TESTS_VARIABLE] ??= JSON.stringify(settings);
  const own = (name: string): string => path.join(PROJECT, `${name}${EXTENSION}`);
  return playwrightConfig({
    timeout: 120_000,
    reporter: [["list"], [own("reports/reporter")]],
    ...config,
    globalSetup: [own("cli/playwright/setup"), ...[config.globalSetup ?? []].flat()],
    globalTeardown: [own("cli/playwright/teardown"), ...[config.globalTeardown ?? []].flat()],
    fullyParallel: false,
    workers: 1,
    // Rounds are repeated by the matchers; a test that passes the second time has flaked.
    retries: 0,
  });
}
