/**
 * The format of scenario.yaml. The loader checks files against it, and `schema/scenario.schema.json` for editors is generated
 * from it. docs/writing-a-scenario.md describes it for authors.
 */

import * as z from "zod";
import { admissionFile } from "./admission.ts";
import { meshSetting } from "./cluster.ts";
import { expectation, headerName, sentHeaderValue } from "./expectation.ts";
import { knownFailure } from "./known.ts";
import { KEPT_FIELDS, NAMESPACE_TARGETS } from "./own-policy.ts";
import { distinct, filled, form, name, text, toJsonSchema, type Immutable } from "./schema.ts";
import { tokenSpec, tokenVariant } from "./token.ts";

const manifestFile = form(
  "the name of a .yaml file in the scenario's folder, or a path to one",
  /^(?:(?!\.)[A-Za-z0-9._-]+|[^\u0000-\u001f]*\/[^\u0000-\u001f/]+)\.ya?ml$/u,
  "A manifest in the scenario's folder; or a path that begins at this folder (`../../deploy/authz.yaml`) to policies of the repository, whose namespaces and keys are mapped.",
);

const objectNames = (description: string) =>
  distinct(z.array(text()).min(1))
    .describe(`${description} Each is a kind, or a kind and a name (Kind/name).`)
    .optional();

const selection = {
  only: objectNames("The objects that are applied."),
  leaveOut: objectNames("Objects that are not applied."),
  asIs: distinct(z.array(z.enum(KEPT_FIELDS)).min(1))
    .describe("Fields that are applied unchanged although they mean something else in the mesh of a test.")
    .optional(),
};

const ownPolicies = z.union([
  z.strictObject({ path: text("Path of a YAML file, from the scenario's folder."), ...selection }).describe("A file."),
  z
    .strictObject({
      kustomize: text("The folder of a kustomization, from the scenario's folder: `kubectl kustomize` builds it."),
      ...selection,
    })
    .describe("A kustomization."),
  z
    .strictObject({
      command: z
        .array(text())
        .min(1)
        .describe(
          "A program and its arguments, run without a shell in the scenario's folder; what it prints is applied.",
        ),
      ...selection,
    })
    .describe("What a command prints, such as `helm template`."),
]);
/** Policies that are taken from where they are in a repository. */
export type OwnPolicies = Immutable<z.infer<typeof ownPolicies>>;

const manifestSource = z.union([manifestFile, ...ownPolicies.options]);
const manifests = z.union([...manifestSource.options, distinct(z.array(manifestSource).min(1))]).meta({
  title:
    "the name of a .yaml file in the scenario's folder, a path to one, a mapping with path, kustomize or command, or a list",
});

/** The repository's namespaces, with what each is in a scenario. */
export const namespaceMap = z.record(
  name(),
  z
    .enum(NAMESPACE_TARGETS)
    .describe("`${ns}`, `${outside.ns}`, `istio-system`, or `absent`: no pod of the scenario is in it."),
);

const hostName = (description: string) =>
  form("a host name", /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/u, description);

const request = {
  from: z
    .enum(["sleep", "neighbour", "outside"])
    .describe(
      "The place that sends: `sleep` is a pod with a sidecar in ${ns}, `neighbour` one in ${outside.ns}, `outside` a pod there without one.",
    ),
  to: form(
    "the name of a Service, ingress, gateway/<name> or gateway/<name>/<listener>",
    /^(?:gateway\/[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\/[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)?|[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)$/u,
    "Who gets the request: a Service in ${ns} (its first port), `ingress`, the ingress gateway, or `gateway/<name>`, a Gateway of the Gateway API in ${ns} (its first listener; `gateway/<name>/<listener>` for another one).",
  ),
  through: form(
    "waypoint/<name>",
    /^waypoint\/[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/u,
    "The waypoint that each request must pass, `waypoint/<name>` of a Gateway in ${ns}: its access log must show each one. Only for requests to a gateway.",
  ).optional(),
  method: form("an HTTP method in capitals", /^[A-Z]+$/u, "HTTP method.")
    .meta({ default: "GET" })
    .optional(),
  path: form(
    'a path that begins with "/" and has no blanks',
    /^\/(?!.*\\x0[0aAdD])[^\s\u0000-\u001f\u007f]*$/u,
    "Raw path and query, sent as written; `\\xHH` is the byte HH, but not 00, 0a or 0d.",
  ),
  requestTarget: form(
    "*, or a URL that begins with http:// or https:// and has no blanks",
    /^(?:\*|https?:\/\/(?!.*\\x0[0aAdD])[^\s\u0000-\u001f\u007f]+)$/u,
    "The request target (RFC 9112 section 3.2) that is sent in the place of path and query: `*`, or an absolute URL, with a host of its own. Only in HTTP/1.",
  ).optional(),
  headers: z
    .record(headerName, z.union([sentHeaderValue, z.array(sentHeaderValue).min(1)]))
    .describe(
      "More headers. A list sends the header once per value. `\\xHH` in a value is the byte HH, but not 00, 0a or 0d.",
    )
    .optional(),
  protocol: z
    .enum(["http/1.0", "http/1.1", "h2c"])
    .meta({ default: "http/1.1", description: "h2c is HTTP/2 with prior knowledge." })
    .optional(),
  host: hostName(
    "The name that the client resolves and connects to, in the place of the full name of the Service.",
  ).optional(),
  tls: z
    .union([
      z.literal(true).meta({ title: "true" }),
      z.strictObject({ serverName: hostName("The server name that it sends (SNI).") }).describe("With a server name."),
    ])
    .describe(
      "The client speaks TLS 1.2, whatever the target is. In TLS 1.3 a client has finished before the server has looked at its certificate, and cannot tell a refusal from a closed connection.",
    )
    .optional(),
};

/** What all rows of a matrix may have in common. */
const { requestTarget: _, ...ofAll } = request;

const tokenName = form(
  "the name of a token, several joined by +, or none",
  /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\+[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/u,
);

const matrix = z
  .strictObject({
    title: text(
      "Prefix of the names of this matrix's checks; needed if two matrices of a step would have the same names.",
    ).optional(),
    vary: z
      .literal("tokens")
      .describe(
        "Rows are token names and columns are variants of the row's token; without it rows are requests and columns token names.",
      )
      .optional(),
    ...ofAll,
    path: request.path.optional(),
    columns: distinct(z.array(tokenName).min(1)).describe(
      "Token names (`none` sends no token), or with `vary: tokens` variants.",
    ),
    rows: filled(z.record(z.string(), z.array(expectation).min(1))).describe(
      "Path, method and path, or name of a request (with `vary: tokens` token name) to one expectation per column.",
    ),
  })
  .describe("A matrix: one request per row and column.");

const check = z
  .strictObject({
    name: text("Unique in its step. It is an id: do not change it later. Default `<path> <token>`.").optional(),
    ...request,
    token: tokenName
      .meta({ default: "none", description: "Name of a token of this scenario; `none` sends no token." })
      .optional(),
    variant: tokenVariant.optional(),
    expect: expectation,
  })
  .describe("One request with one expectation.");

const time = (description: string) => form("a number of seconds such as 70s", /^[1-9]\d{0,3}s$/u, description);

const step = z
  .strictObject({
    name: text(
      "Unique in its scenario. It is an id: do not change it later. A sentence that is true if the step passes.",
    ),
    apply: manifests.describe("Manifests to apply.").optional(),
    delete: manifests
      .describe(
        "Manifests whose objects are deleted. Everything that was applied is deleted at the end of the scenario.",
      )
      .optional(),
    inForce: z
      .enum(["nowhere", "rejected"])
      .describe(
        "Only where the step means it: `nowhere`, a policy that it applies chooses none of the pods that judge its requests; `rejected`, their proxies refuse the config. Without it either is an error.",
      )
      .optional(),
    keysOf: name(
      "An issuer: the step waits until the proxies that judge its requests have these keys. istiod fetches a jwksUri again by itself.",
    ).optional(),
    at: time(
      "Sends the requests of the step this long after the scenario's tokens were made. The tokens of a scenario with `at` or `until` are made once, before its first requests, and their times count from then.",
    ).optional(),
    until: time(
      "The answers of the step must be final this long after the scenario's tokens were made. If they are later, the step is an error: the machine was too slow to prove it.",
    ).optional(),
    checks: z
      .union([matrix, z.array(z.union([matrix, check])).min(1)])
      .describe("One matrix, or a list of matrices and single checks.")
      .optional(),
    apiServer: z
      .array(admissionFile)
      .min(1)
      .describe("What the API server, with istiod's validation, must say of objects that are not applied.")
      .optional(),
    jwksFetchedBy: z
      .array(
        z
          .strictObject({
            server: z.enum(["outside-host", "nginx-proxy"]).describe("The JWKS server."),
            by: z.enum(["istiod", "proxy", "nobody"]).describe("Who fetched from it."),
          })
          .describe("Who fetched from one server."),
      )
      .min(1)
      .describe("Who fetched the JWKS since the step began, by the server's own access log.")
      .optional(),
  })
  .describe("Apply or delete, then check.");

const metadata = z
  .strictObject({
    name: name("The name of the scenario's folder."),
    title: text("One sentence that is true when the scenario passes."),
    source: text("Where the promise is documented: document and section."),
    level: z
      .enum(["core", "extended", "provisional"])
      .describe(
        "core: documented for everyone; extended: where the feature exists; provisional: written from documentation and never seen, so that it counts as not verified.",
      ),
    features: distinct(
      z.array(
        z.enum([
          "ingress-gateway",
          "gateway-api",
          "waypoint",
          "ambient",
          "mesh-setting",
          "jwks-authority",
          "outside-host",
        ]),
      ),
    )
      .describe("What a cluster must have. On a cluster that lacks one of them the scenario is skipped.")
      .optional(),
    tags: distinct(z.array(name("A tag.")))
      .describe("For `meshproof run --tag`.")
      .optional(),
    istio: text("Versions of Istio that it holds for, a range such as `>=1.29` or `>=1.27 <1.30`.")
      .meta({ title: "a range of versions such as >=1.29" })
      .optional(),
    knownFailure: knownFailure.optional(),
  })
  .describe("What this scenario is.");

const spec = z
  .strictObject({
    workloads: distinct(z.array(name("A folder of scenarios/workloads.")).min(1)).describe(
      "Folders of scenarios/workloads that must be running.",
    ),
    mesh: meshSetting.optional(),
    namespaces: namespaceMap
      .describe(
        "For policies from elsewhere in the repository: each of their namespaces, with what it is in this scenario.",
      )
      .optional(),
    tokens: z.record(name(), tokenSpec).describe("Token name to how it is made.").optional(),
    requests: z
      .record(
        name(),
        z
          .strictObject({
            path: request.path,
            method: request.method,
            requestTarget: request.requestTarget,
            headers: request.headers,
            protocol: request.protocol,
            host: request.host,
            tls: request.tls,
          })
          .describe("A request."),
      )
      .describe("Request name to its method, path, headers, protocol, host and tls, for the rows of a matrix.")
      .optional(),
    steps: z.array(step).min(1).describe("One after the other."),
  })
  .describe("What is applied and checked.");

/** The whole file. */
export const scenarioFile = z
  .strictObject({
    apiVersion: z.literal("meshproof.dev/v1alpha1"),
    kind: z.literal("Scenario"),
    metadata,
    spec,
  })
  .describe("A scenario of meshproof: policies, and the answers they promise.");

/** A parsed scenario file. */
export type ScenarioFile = z.infer<typeof scenarioFile>;

/** Prints the content of `schema/scenario.schema.json`. */
export function printScenarioSchema(): string {
  const { $schema, ...rest } = toJsonSchema(scenarioFile, "draft-7");
  const title = "meshproof scenario";
  return `${JSON.stringify({ $schema, $id: "https://meshproof.dev/v1alpha1/scenario.schema.json", title, ...rest }, null, 2)}\n`;
}
