import {
  expect as base,
  type Expect,
  type PlaywrightTestArgs,
  type PlaywrightTestOptions,
  type PlaywrightWorkerArgs,
  type PlaywrightWorkerOptions,
  type TestType,
} from "@playwright/test";
import type { Cluster } from "./cluster.ts";
import { test as ground } from "../run/fixtures.ts";
import { groundOf } from "./test-id.ts";
import { readSettings } from "../run/settings.ts";
import type { Expectation, NoAnswer } from "../model/scenario.ts";
import { failureOf } from "./messages.ts";
import { openMeshTest, type Judged, type Mesh, type MeshTest } from "./mesh-test.ts";
import { clientOf, createTokens, type Client, type ClientName, type MeshRequest, type Tokens } from "./requests.ts";

/** What a test is given beside Playwright's own fixtures. */
export interface MeshFixtures {
  /** Applies and deletes policies; everything is removed at the end of the test. */
  readonly mesh: Mesh;
  /** Describes tokens, good and broken ones. */
  readonly tokens: Tokens;
  /**
   * A place that sends requests.
   * @example client("sleep").get("httpbin", "/headers", { token })
   */
  readonly client: (name: ClientName) => Client;
  /** The cluster that the tests run on. */
  readonly cluster: Cluster;
}

/** The tests of a request, by the request: a matcher has no fixtures. */
const tests = new WeakMap<MeshRequest, MeshTest>();

const withFixtures = ground.extend<MeshFixtures & { readonly meshTest: MeshTest }>({
  meshTest: [
    async ({ laneFor }, use, info) => {
      const settings = readSettings();
      const { workloads = [] } = settings.tests ?? {};
      const lane = await laneFor(groundOf(workloads));
      const { scenarios: scenariosRoot, namespaces = {} } = settings;
      const opened = await openMeshTest({ lane, info, workloads, scenariosRoot, namespaces });
      await use(opened);
      await opened.close();
    },
    { box: true, title: "mesh" },
  ],
  mesh: async ({ meshTest }, use) => use(meshTest.mesh),
  tokens: async ({}, use) => use(createTokens()),
  client: async ({ meshTest }, use) => use((name) => remembering(clientOf(name), meshTest)),
  cluster: async ({ ground: { handle } }, use) => {
    const { kind, name, kubeconfig, namespace, outsideNamespace, info } = handle;
    await use({ kind, name, kubeconfig, namespace, outsideNamespace, versions: info.versions });
  },
});

/** Playwright's `test`, with the fixtures of a mesh. */
export const test: TestType<
  PlaywrightTestArgs & PlaywrightTestOptions & MeshFixtures,
  PlaywrightWorkerArgs & PlaywrightWorkerOptions
> = withFixtures;

/** The same client, whose requests know the test that they are of. */
function remembering(client: Client, of: MeshTest): Client {
  return Object.fromEntries(
    Object.entries(client).map(([name, make]: [string, (...all: never[]) => MeshRequest]) => [
      name,
      (...all: never[]): MeshRequest => {
        const made = make(...all);
        tests.set(made, of);
        return made;
      },
    ]),
  ) as unknown as Client;
}

/** What a denial may say beside its kind. */
export interface DenialOptions {
  /** Default 401 for authentication, 403 for authorization. */
  readonly status?: number;
  /** Text that the reply must contain. */
  readonly body?: string;
  /** A request that must be allowed in the same rounds; default the last one to the same target that was. */
  readonly witness?: MeshRequest;
}

/** Matchers of requests. Each sends its request in rounds, until three in a row agree or a limit has passed. */
export interface MeshMatchers<R> {
  /** The request reaches the workload, which answers 200. */
  toBeAllowed(options?: { readonly status?: number; readonly body?: string }): Promise<R>;
  /** A RequestAuthentication denies the request. Needs a witness: an allowed request to the same target. */
  toBeDeniedByAuthentication(options?: DenialOptions): Promise<R>;
  /** An AuthorizationPolicy denies it; `policy` is the name of the one whose rule matches. Needs a witness. */
  toBeDeniedByAuthorization(options?: DenialOptions & { readonly policy?: string }): Promise<R>;
  /**
   * The client gets no answer: the connection is closed or reset, TLS is refused (which needs a request with `tls`), or the name does not
   * resolve. Needs a witness.
   */
  toGetNoAnswer(noAnswer: NoAnswer, options?: Pick<DenialOptions, "witness">): Promise<R>;
  /** The request reaches a workload that echoes it (httpbin's `/headers`, `/anything`), with these headers and this path. */
  toHaveReceived(received: NonNullable<Expectation["received"]>): Promise<R>;
}

interface Matched {
  readonly pass: boolean;
  readonly message: () => string;
}

async function matched(
  { isNot }: { readonly isNot: boolean },
  request: MeshRequest,
  expect: Expectation,
  witness?: MeshRequest,
): Promise<Matched> {
  const test = tests.get(request);
  if (test === undefined)
    throw new Error('expected a request of the fixture client, such as client("sleep").get("httpbin", "/")');
  // If one answer does not come, it is still open which one does.
  if (isNot)
    throw new Error(
      "not says nothing about a mesh: expect the answer that it must give, such as toBeDeniedByAuthorization()",
    );
  const { failed, redact }: Judged = await test.judge(request, expect, witness);
  return { pass: failed === undefined, message: () => (failed === undefined ? "" : failureOf(failed, redact)) };
}

const withMatchers = base.extend({
  toBeAllowed(
    this: { isNot: boolean },
    request: MeshRequest,
    { status = 200, body }: { status?: number; body?: string } = {},
  ) {
    return matched(this, request, { status, by: "workload", ...(body !== undefined && { body }) });
  },
  toBeDeniedByAuthentication(
    this: { isNot: boolean },
    request: MeshRequest,
    { status = 401, body, witness }: DenialOptions = {},
  ) {
    return matched(this, request, { status, by: "authentication", ...(body !== undefined && { body }) }, witness);
  },
  toBeDeniedByAuthorization(
    this: { isNot: boolean },
    request: MeshRequest,
    { status = 403, body, policy, witness }: DenialOptions & { readonly policy?: string } = {},
  ) {
    const more = { ...(body !== undefined && { body }), ...(policy !== undefined && { policy }) };
    return matched(this, request, { status, by: "authorization", ...more }, witness);
  },
  toGetNoAnswer(
    this: { isNot: boolean },
    request: MeshRequest,
    noAnswer: NoAnswer,
    { witness }: Pick<DenialOptions, "witness"> = {},
  ) {
    return matched(this, request, { status: 0, by: "nobody", noAnswer }, witness);
  },
  toHaveReceived(this: { isNot: boolean }, request: MeshRequest, received: NonNullable<Expectation["received"]>) {
    return matched(this, request, { status: 200, by: "workload", received });
  },
});

/** Playwright's `expect`, with matchers of requests. */
export const expect: Expect<{
  [Name in keyof MeshMatchers<void>]: (
    request: MeshRequest,
    ...rest: Parameters<MeshMatchers<void>[Name]>
  ) => Promise<Matched>;
}> = withMatchers;
