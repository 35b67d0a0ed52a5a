/**
 * The notation of scenario.yaml: the one source of what a scenario file may contain. The loader checks files against it
 * ({@link ./shape.ts}), and `schema/scenario.schema.json` for editors is printed from it.
 */

import { ALGORITHMS, TOKEN_VARIANTS } from "../tokens/names.ts";

/** The part of JSON Schema (draft 7) that the notation needs. `title` is a noun phrase that error messages use. */
export interface Shape {
  readonly title?: string;
  readonly description?: string;
  readonly type?: "object" | "array" | "string" | "integer" | "boolean" | "null";
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly pattern?: string;
  readonly minLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly uniqueItems?: boolean;
  readonly items?: Shape;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Shape;
  readonly propertyNames?: Shape;
  readonly minProperties?: number;
  readonly anyOf?: readonly Shape[];
  readonly default?: string;
}

const text = (description: string): Shape => ({ type: "string", minLength: 1, description });

/** A mapping with exactly these keys. */
function mapping(description: string, properties: Record<string, Shape>, required: readonly string[]): Shape {
  return { type: "object", description, properties, required, additionalProperties: false };
}

function oneOrMany(shape: Shape, description: string): Shape {
  return { description, anyOf: [shape, { type: "array", items: shape, minItems: 1, uniqueItems: true }] };
}

const NAME = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
const name = (description: string): Shape => ({
  type: "string",
  title: "a name of small letters, digits and hyphens",
  pattern: NAME,
  description,
});

const manifestFile: Shape = {
  type: "string",
  title: "the name of a .yaml file in the scenario's folder",
  pattern: "^(?!\\.)[A-Za-z0-9._-]+\\.ya?ml$",
};

const path: Shape = {
  type: "string",
  title: 'a path that begins with "/" and has no blanks',
  pattern: "^/[^\\s\\u0000-\\u001f\\u007f]*$",
  description: "Raw path and query, sent as written.",
};

const request = {
  from: {
    type: "string",
    enum: ["sleep", "neighbour", "outside"],
    description:
      "The place that sends: `sleep` is a pod with a sidecar in ${ns}, `neighbour` one in ${outside.ns}, `outside` a pod there without one.",
  },
  to: name("Who gets the request: a Service in ${ns} (its first port), or `ingress`, the ingress gateway."),
  method: {
    type: "string",
    title: "an HTTP method in capitals",
    pattern: "^[A-Z]+$",
    default: "GET",
    description: "HTTP method.",
  },
  path,
  headers: {
    type: "object",
    description: "More headers. A list sends the header once per value.",
    propertyNames: { title: "a header name", pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" },
    additionalProperties: {
      anyOf: [
        { type: "string", title: "a header value on one line", pattern: "^[^\\r\\n\\u0000]*$" },
        {
          type: "array",
          minItems: 1,
          items: { type: "string", title: "a header value on one line", pattern: "^[^\\r\\n\\u0000]*$" },
        },
      ],
    },
  },
  protocol: {
    type: "string",
    enum: ["http/1.0", "http/1.1", "h2c"],
    default: "http/1.1",
    description: "h2c is HTTP/2 with prior knowledge.",
  },
} satisfies Record<string, Shape>;

const status: Shape = {
  type: "integer",
  title: "an HTTP status",
  minimum: 100,
  maximum: 599,
  description:
    "The status alone: 401 means denied by authentication, 403 denied by authorization, anything else the workload's own answer.",
};

const received: Shape = mapping(
  "What the workload got, by httpbin's own echo.",
  {
    headers: {
      type: "object",
      description: "Header name to its value; null for absent, true for present, claims for a base64url header.",
      additionalProperties: {
        anyOf: [
          { type: "string" },
          { type: "boolean" },
          { type: "null" },
          mapping("A base64url JSON object.", { claims: { type: "object" } }, ["claims"]),
        ],
      },
    },
    path: text("Path and query as the workload saw them (the path /anything echoes them)."),
  },
  [],
);

const expectation: Shape = {
  anyOf: [
    status,
    mapping(
      "An answer, and why.",
      {
        status,
        by: {
          type: "string",
          enum: ["authentication", "authorization", "workload", "proxy"],
          description: "Who must have answered, where the status alone says otherwise.",
        },
        body: text("Text that the reply body must contain."),
        jsonKey: text("Top-level key that the reply body, a JSON object, must have."),
        details: text("Text that Envoy's response code details (access log) must contain."),
        policy: text("The AuthorizationPolicy whose rule must have matched, by the response code details."),
        received,
      },
      ["status"],
    ),
  ],
};

const variant: Shape = {
  type: "string",
  enum: TOKEN_VARIANTS,
  description: "A way to change the token.",
};

const tokenName: Shape = {
  type: "string",
  title: "the name of a token, several joined by +, or none",
  pattern: "^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\+[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$",
};

/** An answer that a known failure names. */
export const answerKind: Shape = mapping(
  "The only answer that is excused. Without it any is, but not a request that was admitted and must be refused.",
  {
    status: { type: "integer", minimum: 0, maximum: 599, description: "HTTP status; 0 for none." },
    by: {
      type: "string",
      enum: ["authentication", "authorization", "workload", "proxy", "nobody"],
      description: "Who gave it, as reports say.",
    },
  },
  ["status", "by"],
);

const matrix: Shape = mapping(
  "A matrix: one request per row and column.",
  {
    title: text(
      "Leads the names of this matrix's checks; needed where two matrices of a step would give the same names.",
    ),
    vary: {
      type: "string",
      const: "tokens",
      description:
        "Rows are token names and columns are variants of the row's token; without it rows are requests and columns token names.",
    },
    ...request,
    columns: {
      type: "array",
      minItems: 1,
      uniqueItems: true,
      items: tokenName,
      description: "Token names (`none` sends no token), or with `vary: tokens` variants.",
    },
    rows: {
      type: "object",
      minProperties: 1,
      description:
        "Path, method and path, or name of a request (with `vary: tokens` token name) to one expectation per column.",
      additionalProperties: { type: "array", minItems: 1, items: expectation },
    },
  },
  ["from", "to", "columns", "rows"],
);

const check: Shape = mapping(
  "One request with one expectation.",
  {
    name: text("Unique in its step and an id forever; default `<path> <token>`."),
    ...request,
    token: { ...tokenName, default: "none", description: "Name of a token of this scenario; `none` sends no token." },
    variant,
    expect: expectation,
  },
  ["from", "to", "path", "expect"],
);

const place = (key: "query" | "cookie"): Shape => mapping(`A ${key} parameter.`, { [key]: text("Its name.") }, [key]);
const tokenPlaces: readonly Shape[] = [
  mapping(
    "A header.",
    {
      header: text("Its name."),
      prefix: { type: "string", description: "Stands before the token, as written." },
      suffix: { type: "string", description: "Stands after the token, as written." },
    },
    ["header"],
  ),
  place("query"),
  place("cookie"),
];

const token: Shape = mapping(
  "How a token is made.",
  {
    issuer: name("Name of a file in scenarios/issuers."),
    published: {
      type: "boolean",
      description: "The sample token that the issuer publishes, verbatim (issuer istio-sample).",
    },
    alg: {
      type: "string",
      enum: ALGORITHMS,
      description: "JOSE algorithm (RFC 7518, RFC 8037); default the issuer's first key's.",
    },
    signedBy: {
      type: "string",
      const: "stranger",
      description: "Sign with a key of the same type that is not in the issuer's JWKS.",
    },
    claims: {
      type: "object",
      description: "Claims (RFC 7519) that replace or extend the issuer's; null takes one away.",
    },
    header: {
      type: "object",
      description:
        "Header fields (RFC 7515) that replace or extend alg, kid and typ; null takes one away; jwk: own is the key that signed.",
    },
    notBefore: {
      type: "integer",
      title: "whole seconds",
      description: "Seconds from now until `nbf`; may be negative.",
    },
    issuedAt: {
      type: "integer",
      title: "whole seconds",
      description: "Seconds from now until `iat`; may be negative.",
    },
    size: {
      type: "integer",
      title: "bytes",
      minimum: 1,
      maximum: 262144,
      description: "Bytes that the token has at least.",
    },
    in: {
      description: "Where a request carries it; default the header Authorization with the prefix Bearer.",
      anyOf: [...tokenPlaces, { type: "array", minItems: 1, items: { anyOf: tokenPlaces } }],
    },
    expiresIn: {
      type: "integer",
      title: "whole seconds",
      description: "Seconds from now until `exp`; may be negative.",
    },
    variant,
  },
  ["issuer"],
);

const step: Shape = mapping(
  "Apply or delete, then check.",
  {
    name: text("Unique in its scenario and an id forever: a sentence that is true when the step passes."),
    apply: oneOrMany(manifestFile, "Manifests to apply."),
    delete: oneOrMany(
      manifestFile,
      "Manifests whose objects are deleted. Everything applied is deleted at the end anyhow.",
    ),
    inForce: {
      type: "string",
      enum: ["nowhere", "rejected"],
      description:
        "Only where the step means it: `nowhere`, a policy that it applies chooses none of the pods that judge its requests; `rejected`, their proxies refuse the config. Without it either is an error.",
    },
    checks: {
      description: "One matrix, or a list of matrices and single checks.",
      anyOf: [matrix, { type: "array", minItems: 1, items: { anyOf: [matrix, check] } }],
    },
    asked: {
      type: "array",
      minItems: 1,
      description: "Who fetched the JWKS since the step began, by the server's own access log.",
      items: mapping(
        "Who asked one server.",
        {
          server: { type: "string", enum: ["outside-host", "nginx-proxy"], description: "The JWKS server." },
          by: { type: "string", enum: ["istiod", "proxy", "nobody"], description: "Who asked it." },
        },
        ["server", "by"],
      ),
    },
  },
  ["name"],
);

/** The whole file. */
export const SCENARIO_SHAPE: Shape = mapping(
  "A scenario of meshproof: policies, and the answers they promise.",
  {
    apiVersion: { type: "string", const: "meshproof.dev/v1alpha1" },
    kind: { type: "string", const: "Scenario" },
    metadata: mapping(
      "What this scenario is.",
      {
        name: name("The name of the scenario's folder."),
        title: text("One sentence that is true when the scenario passes."),
        source: text("Where the promise stands: document and section."),
        level: {
          type: "string",
          enum: ["core", "extended", "provisional"],
          description:
            "core: documented for everyone; extended: where the feature exists; provisional: may still change.",
        },
        features: {
          type: "array",
          uniqueItems: true,
          description: "What a cluster must offer; elsewhere the scenario is skipped.",
          items: { type: "string", enum: ["ingress-gateway", "mesh-setting", "jwks-authority", "outside-host"] },
        },
        tags: { type: "array", uniqueItems: true, items: name("A tag."), description: "For `meshproof run --tag`." },
        istio: {
          ...text("Versions of Istio that it holds for, a range such as `>=1.29` or `>=1.27 <1.30`."),
          title: "a range of versions such as >=1.29",
        },
        knownFailure: mapping(
          "Expected to fail until a date, and counted as failed afterwards.",
          {
            reason: text("Why, one sentence."),
            until: {
              type: "string",
              title: "a date such as 2027-01-31",
              pattern: "^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])$",
              description: "Last day (UTC) on which it may fail.",
            },
            got: answerKind,
          },
          ["reason", "until"],
        ),
      },
      ["name", "title", "source", "level"],
    ),
    spec: mapping(
      "What is applied and checked.",
      {
        workloads: {
          type: "array",
          minItems: 1,
          uniqueItems: true,
          items: name("A folder of scenarios/workloads."),
          description: "Folders of scenarios/workloads that must be running.",
        },
        mesh: mapping(
          "A setting of the whole mesh; without it Istio's default.",
          {
            jwksFetch: {
              type: "string",
              enum: ["istiod", "hybrid", "envoy"],
              description: "Who fetches the keys of a jwksUri: istiod's PILOT_JWT_ENABLE_REMOTE_JWKS.",
            },
            pathNormalization: {
              type: "string",
              enum: ["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"],
              description: "meshConfig.pathNormalization.normalization.",
            },
            extAuthz: {
              type: "boolean",
              description:
                "Names the extension providers sample-ext-authz-http (the workload ext-authz) and unreachable-ext-authz-http.",
            },
          },
          [],
        ),
        tokens: {
          type: "object",
          description: "Token name to how it is made.",
          propertyNames: { title: "a name of small letters, digits and hyphens", pattern: NAME },
          additionalProperties: token,
        },
        requests: {
          type: "object",
          description: "Request name to what is special about it: for the rows of a matrix.",
          propertyNames: { title: "a name of small letters, digits and hyphens", pattern: NAME },
          additionalProperties: mapping(
            "A request.",
            { path, method: request.method, headers: request.headers, protocol: request.protocol },
            ["path"],
          ),
        },
        steps: { type: "array", minItems: 1, items: step, description: "One after the other." },
      },
      ["workloads", "steps"],
    ),
  },
  ["apiVersion", "kind", "metadata", "spec"],
);

/** `schema/scenario.schema.json`, as it must stand in the repository. */
export function printScenarioSchema(): string {
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    $id: "https://meshproof.dev/v1alpha1/scenario.schema.json",
    title: "meshproof scenario",
    ...SCENARIO_SHAPE,
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}
