import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it, test } from "node:test";
import { parseIssuer } from "../tokens/issuer.ts";
import { idsNamed } from "./folders.ts";
import { loadScenarios, parseScenario, type Surroundings } from "./load.ts";
import { formatProblem } from "./problem.ts";

const FILE = "scenarios/jwt/example/scenario.yaml";

const ISSUERS = {
  corp: "iss: https://corp.example\nkeys: [{ kid: rs256, alg: RS256 }, { kid: es256, alg: ES256 }]\n",
  "istio-sample": `iss: testing@secure.istio.io
origin: istio
publishedToken: demo.jwt
keys: [{ kid: a, alg: RS256 }]
`,
};

const POLICY = `apiVersion: security.istio.io/v1beta1
kind: RequestAuthentication
metadata:
  name: jwt-example
  namespace: \${ns}
`;

const SCENARIO = `apiVersion: meshproof.dev/v1alpha1
kind: Scenario
metadata:
  name: example
  title: A valid token passes
  source: Istio, "Authentication Policy"
  level: core
spec:
  workloads: [httpbin, sleep]
  tokens:
    valid: { issuer: corp }
    forged: { issuer: corp, signedBy: unknown-key }
  steps:
    - name: authentication rejects bad tokens
      apply: policy.yaml
      checks:
        from: sleep
        to: httpbin
        columns:   [none, valid, forged]
        rows:
          /headers: [200, 200,   401]
          /ip:      [200, 200,   { status: 401, body: Jwt verification fails }]
`;

function surroundings(manifests: Record<string, string> = { "policy.yaml": POLICY }): Surroundings {
  const issuers = Object.entries(ISSUERS).map(
    ([name, text]) => [name, parseIssuer(text, name, `${name}.yaml`).issuer!] as const,
  );
  return { workloads: ["httpbin", "sleep"], issuers: new Map(issuers), manifests: new Map(Object.entries(manifests)) };
}

function problemsOf(text: string, manifests?: Record<string, string>): string[] {
  return parseScenario(text, FILE, surroundings(manifests)).problems.map(formatProblem);
}

/** The scenario with one text replaced; fails if the text is not there exactly once. */
function change(from: string, to: string): string {
  assert.equal(SCENARIO.split(from).length, 2, `"${from}" must occur once in the scenario`);
  return SCENARIO.replace(from, () => to);
}

test("a matrix becomes one check per cell", () => {
  const { scenario, problems } = parseScenario(SCENARIO, FILE, surroundings());
  assert.deepEqual(problems, []);
  assert.equal(scenario!.id, "jwt/example");
  const [step] = scenario!.steps;
  assert.deepEqual(step!.matrices, [
    { title: "from sleep to httpbin", rows: ["/headers", "/ip"], columns: ["none", "valid", "forged"] },
  ]);
  assert.deepEqual(
    step!.checks.map(({ name }) => name),
    ["/headers none", "/headers valid", "/headers forged", "/ip none", "/ip valid", "/ip forged"],
  );
  assert.deepEqual(step!.checks[5], {
    name: "/ip forged",
    request: { from: "sleep", to: "httpbin", method: "GET", path: "/ip", headers: [] },
    token: "forged",
    expect: { status: 401, body: "Jwt verification fails", by: "authentication" },
    cell: { matrix: 0, row: 1, column: 2 },
    position: { file: FILE, line: 22, column: 34 },
  });
  assert.deepEqual(
    step!.apply.map(({ file, position, objects, uses }) => [file, position, objects[0]!.object.kind, uses[0]!.name]),
    [["scenarios/jwt/example/policy.yaml", { file: FILE, line: 15, column: 14 }, "RequestAuthentication", "ns"]],
  );
});

test("a matrix that varies tokens has token names as rows", () => {
  const text = change(
    `        columns:   [none, valid, forged]
        rows:
          /headers: [200, 200,   401]
          /ip:      [200, 200,   { status: 401, body: Jwt verification fails }]
`,
    `        vary: tokens
        path: /headers
        method: POST
        headers: { x-a: "1", x-b: [two, three] }
        columns: [intact, expired]
        rows:
          valid: [200, 401]
`,
  );
  const { scenario, problems } = parseScenario(text, FILE, surroundings());
  assert.deepEqual(problems, []);
  const [step] = scenario!.steps;
  assert.equal(step!.matrices[0]!.title, "POST /headers from sleep to httpbin");
  const request = {
    from: "sleep",
    to: "httpbin",
    method: "POST",
    path: "/headers",
    headers: [
      ["x-a", "1"],
      ["x-b", "two"],
      ["x-b", "three"],
    ],
  };
  const common = { request, token: "valid" };
  assert.deepEqual(
    step!.checks.map(({ position: _, ...check }) => check),
    [
      {
        ...common,
        name: "valid intact",
        expect: { status: 200, by: "workload" },
        cell: { matrix: 0, row: 0, column: 0 },
      },
      {
        ...common,
        name: "valid expired",
        variant: "expired",
        expect: { status: 401, by: "authentication" },
        cell: { matrix: 0, row: 0, column: 1 },
      },
    ],
  );
});

test("a step may have single checks and titled matrices", () => {
  const text = change(
    `        from: sleep
        to: httpbin
        columns:   [none, valid, forged]
        rows:
          /headers: [200, 200,   401]
          /ip:      [200, 200,   { status: 401, body: Jwt verification fails }]
`,
    `        - { from: sleep, to: httpbin, path: /get, token: valid, variant: expired, expect: 401 }
        - { name: keys are served, from: sleep, to: httpbin, path: /keys, expect: { status: 200, jsonKey: keys } }
        - { from: sleep, to: httpbin, path: /status/403, expect: { status: 403, by: workload } }
        - from: sleep
          to: httpbin
          columns: [none]
          rows: { /get: [200] }
        - title: from outside
          from: outside
          to: httpbin
          columns: [none]
          rows: { /get: [200] }
`,
  );
  const { scenario, problems } = parseScenario(text, FILE, surroundings());
  assert.deepEqual(problems, []);
  const { checks, matrices } = scenario!.steps[0]!;
  assert.deepEqual(
    checks.map(({ name, cell }) => [name, cell?.matrix]),
    [
      ["/get valid expired", undefined],
      ["keys are served", undefined],
      ["/status/403 none", undefined],
      ["/get none", 0],
      ["from outside: /get none", 1],
    ],
  );
  assert.equal(checks[2]!.expect.by, "workload");
  assert.deepEqual(
    matrices.map(({ title }) => title),
    ["from sleep to httpbin", "from outside"],
  );
});

test("an expectation may be any answer of the workload, a gRPC status, an exact text, a pattern or headers of the reply", () => {
  const cells = [
    "allowed",
    "{ status: allowed, headers: { x-a: null, x-b: true } }",
    "{ grpc: 7 }",
    "{ grpc: 16, body: { is: Jwt is missing } }",
    "{ grpc: 0 }",
    "{ status: 401, headers: { www-authenticate: 'Bearer realm=\"http://httpbin.${ns}:8000/\"' } }",
    "{ status: 200, body: { matches: '(?s).*a.*' } }",
  ];
  const checks = cells.map((cell, at) => `        - { from: sleep, to: httpbin, path: /${at}, expect: ${cell} }\n`);
  const text = change(SCENARIO.slice(SCENARIO.indexOf("        from: sleep")), checks.join(""))
    .replace(/    forged: .*\n/, "")
    .replace(/    valid: .*\n/, "    unused: { issuer: corp }\n");
  const { scenario, problems } = parseScenario(text, FILE, surroundings());
  assert.deepEqual(problems, []);
  assert.deepEqual(
    scenario!.steps[0]!.checks.map(({ expect }) => expect),
    [
      { status: 0, by: "workload" },
      { status: 0, by: "workload", headers: { "x-a": null, "x-b": true } },
      { status: 200, grpc: 7, by: "authorization" },
      { status: 200, grpc: 16, by: "authentication", body: { is: "Jwt is missing" } },
      { status: 200, grpc: 0, by: "workload" },
      {
        status: 401,
        by: "authentication",
        headers: { "www-authenticate": 'Bearer realm="http://httpbin.${ns}:8000/"' },
      },
      { status: 200, by: "workload", body: { matches: "(?s).*a.*" } },
    ],
  );
});

const CASES: { name: string; text: string; manifests?: Record<string, string>; problems: string[] }[] = [
  {
    name: "a mistyped key",
    text: change("columns:  ", "colums:  "),
    problems: [
      `${FILE}:17:9 checks has no "columns"`,
      `${FILE}:19:9 unknown key "colums" in checks; did you mean "columns"?`,
    ],
  },
  {
    name: "an unknown key with nothing close",
    text: change("  level: core", "  level: core\n  owner: me"),
    problems: [
      `${FILE}:8:3 unknown key "owner" in metadata; known keys are name, title, source, level, features, tags, istio, knownFailure`,
    ],
  },
  {
    name: "a missing key",
    text: change('  source: Istio, "Authentication Policy"\n', ""),
    problems: [`${FILE}:4:3 metadata has no "source"`],
  },
  {
    name: "a wrong value",
    text: change("level: core", "level: cor"),
    problems: [`${FILE}:7:10 level must be core, extended or provisional, found "cor"; did you mean "core"?`],
  },
  {
    name: "a number where text belongs",
    text: change("title: A valid token passes", "title: 5"),
    problems: [`${FILE}:5:10 title must be text, found a number; put it in quotes: "5"`],
  },
  {
    name: "text where a mapping belongs",
    text: change("    valid: { issuer: corp }", "    valid: corp"),
    problems: [`${FILE}:11:12 tokens "valid" must be a mapping, found text`],
  },
  {
    name: "an empty value",
    text: change("apply: policy.yaml", "apply:"),
    problems: [
      `${FILE}:15:13 apply must be the name of a .yaml file in the scenario's folder, a path to one, a mapping with path, kustomize or command, or a list, found nothing`,
    ],
  },
  {
    name: "a status out of range and one that is text",
    text: change("/headers: [200, 200,   401]", "/headers: [20, ok,   401]"),
    problems: [
      `${FILE}:21:22 rows "/headers" must be an HTTP status, found 20`,
      `${FILE}:21:26 rows "/headers" must be an HTTP status, closed, reset, tls-refused, dns, allowed or a mapping, found text`,
    ],
  },
  {
    name: "a row that is too short and one that is too long",
    text: change("/headers: [200, 200,   401]", "/headers: [200, 200]\n          /: [200, 200, 401, 401]"),
    problems: [
      `${FILE}:21:21 row "/headers" has 2 cells for 3 columns`,
      `${FILE}:22:14 row "/" has 4 cells for 3 columns`,
    ],
  },
  {
    name: "an unknown token",
    text: change("[none, valid, forged]", "[none, vald, forged]"),
    problems: [`${FILE}:19:27 unknown token "vald"; did you mean "valid"?`],
  },
  {
    name: "an unknown variant",
    text: change(
      "columns:   [none, valid, forged]",
      "vary: tokens\n        path: /headers\n        columns: [intact, expird, other-key]",
    )
      .replace("/headers: [", "valid: [")
      .replace("/ip: ", "forged: "),
    problems: [`${FILE}:21:27 unknown variant "expird"; did you mean "expired"?`],
  },
  {
    name: "an invalid path",
    text: change("          /ip: ", "          ip: "),
    problems: [
      `${FILE}:22:11 row "ip" must be a path that begins with "/" and has no blanks, a method and a path, or a request`,
    ],
  },
  {
    name: "a matrix of paths with a path",
    text: change("columns:  ", "path: /x\n        columns:  "),
    problems: [`${FILE}:19:15 the rows of this matrix are paths; leave path out, or add vary: tokens`],
  },
  {
    name: "a closed connection with a body",
    text: change("/headers: [200, 200,   401]", "/headers: [200, 200,   { status: closed, body: x }]"),
    problems: [`${FILE}:21:34 with closed there is no answer to compare; leave out what is beside status: closed`],
  },
  ...(
    [
      ["{ status: allowed, by: proxy }", "34 allowed means that the workload answers; leave out by"],
      ["{ grpc: 17 }", "42 grpc must be a gRPC status from 0 to 16, found 17"],
      ["{ grpc: 7, status: 403 }", '36 rows "/headers" cannot have both "status" and "grpc"'],
      [
        '{ status: 200, body: { matches: "a(" } }',
        "66 matches must be a regular expression of RE2: error parsing regexp: missing closing ): `a(`",
      ],
      ["{ status: 200, headers: {} }", "58 headers is empty"],
      ["{ status: 200, headers: { a b: c } }", '60 "a b" in headers must be a header name'],
      [
        "{ status: 200, headers: { a: '${jwks.corp}' } }",
        '63 unknown substitution "${jwks.corp}" in a header of the reply; only ${ns} is filled in here',
      ],
    ] as const
  ).map(([cell, problem]) => ({
    name: `the expectation ${cell}`,
    text: change("/headers: [200, 200,   401]", `/headers: [200, 200,   ${cell}]`),
    problems: [`${FILE}:21:${problem}`],
  })),
  {
    name: "the expectation { status: 200, body: { matces: a } }",
    text: change("/headers: [200, 200,   401]", "/headers: [200, 200,   { status: 200, body: { matces: a } }]"),
    problems: [`${FILE}:21:55 body has no "is"`, `${FILE}:21:57 unknown key "matces" in body; did you mean "matches"?`],
  },
  {
    name: "a refused TLS handshake of a request without TLS",
    text: change("/headers: [200, 200,   401]", "/headers: [200, 200,   tls-refused]"),
    problems: [`${FILE}:21:34 tls-refused needs a request that speaks TLS; add tls: true to the request`],
  },
  {
    name: "TLS and h2c",
    text: change("/headers: [200, 200,   401]", "/headers: [200, 200,   tls-refused]").replace(
      "        columns:",
      "        tls: true\n        protocol: h2c\n        columns:",
    ),
    problems: [`${FILE}:20:19 h2c is HTTP/2 without TLS; leave out tls or protocol`],
  },
  {
    name: "closed connections without a witness",
    text: change("/headers: [200, 200,   401]", "/headers: [closed, closed, closed]").replace(
      "[200, 200,   {",
      "[closed, closed, {",
    ),
    problems: [`${FILE}:21:22 a denial at httpbin has no witness; add a check to this step that httpbin answers`],
  },
  {
    name: "a denial without a witness",
    text: change("/headers: [200, 200,   401]", "/headers: [403, 403,   401]").replace(
      "[200, 200,   {",
      "[403, 403,   {",
    ),
    problems: [`${FILE}:21:22 a denial at httpbin has no witness; add a check to this step that httpbin answers`],
  },
  {
    name: "the same row twice",
    text: change("          /ip: ", "          /headers: "),
    problems: [`${FILE}:22:11 this is not valid YAML: Map keys must be unique`],
  },
  {
    name: "two checks with one name, and two steps",
    text:
      SCENARIO +
      SCENARIO.slice(SCENARIO.indexOf("    - name: auth")).replace(
        /checks:[^]*/,
        "checks:\n        - { from: sleep, to: httpbin, path: /a, expect: 200 }\n        - { from: outside, to: httpbin, path: /a, expect: 200 }\n",
      ),
    problems: [
      `${FILE}:23:13 the step name "authentication rejects bad tokens" is used twice in this scenario`,
      `${FILE}:27:11 the check name "/a none" is used twice in this step; give the check a name`,
    ],
  },
  {
    name: "an alias",
    text: change("valid: { issuer: corp }", "valid: &v { issuer: corp }").replace(
      "{ issuer: corp, signedBy: unknown-key }",
      "*v",
    ),
    problems: [
      `${FILE}:11:15 anchors and aliases are not allowed, found &v; write the value out`,
      `${FILE}:12:13 anchors and aliases are not allowed, found *v; write the value out`,
    ],
  },
  {
    name: "a name that is not the folder's",
    text: change("name: example", "name: exmple"),
    problems: [`${FILE}:4:9 metadata.name is "exmple" in the folder "example"; they must be the same`],
  },
  {
    name: "an unknown workload and unknown issuers",
    text: change("[httpbin, sleep]", "[httpbn, sleep]")
      .replace("valid: { issuer: corp }", "valid: { issuer: crp }")
      .replace("apply: policy.yaml", "apply: policy.yaml\n      keysOf: cor"),
    problems: [
      `${FILE}:9:15 unknown workload "httpbn"; did you mean "httpbin"?`,
      `${FILE}:11:22 unknown issuer "crp"; did you mean "corp"?`,
      `${FILE}:16:15 unknown issuer "cor"; did you mean "corp"?`,
    ],
  },
  {
    name: "times that cannot be met, or that no token has",
    text: change("apply: policy.yaml", "apply: policy.yaml\n      at: 20s\n      until: 20s"),
    problems: [
      `${FILE}:17:14 no token of this scenario has a time; give one expiresIn, notBefore or issuedAt, in seconds`,
      `${FILE}:17:14 the requests are sent at 20s; \`until\` must be later than \`at\``,
    ],
  },
  {
    name: "a time without its unit",
    text: change("apply: policy.yaml", "apply: policy.yaml\n      at: 20"),
    problems: [`${FILE}:16:11 at must be a number of seconds such as 70s, found a number; put it in quotes: "20"`],
  },
  {
    name: "tokens that cannot be made",
    text: change("valid: { issuer: corp }", "valid: { issuer: corp, alg: HS256, published: true }").replace(
      "{ issuer: corp, signedBy: unknown-key }",
      "{ issuer: istio-sample, published: true, expiresIn: 5 }",
    ),
    problems: [
      `${FILE}:11:33 issuer corp has no HS256 key; it has RS256, ES256`,
      `${FILE}:11:33 a published token is used unchanged: "alg" cannot change it`,
      `${FILE}:11:51 issuer corp publishes no token`,
      `${FILE}:12:65 a published token is used unchanged: "expiresIn" cannot change it`,
    ],
  },
  {
    name: "tokens of bytes that something else would change",
    text: change(
      "valid: { issuer: corp }",
      'valid: { issuer: corp, rawHeader: "{}", header: { kid: null }, rawPayload: { base64: "e30=" }, claims: { a: 1 } }',
    ).replace(
      "{ issuer: corp, signedBy: unknown-key }",
      '{ issuer: corp, signedBy: unknown-key, hmacSecret: { base64: "AA==" } }',
    ),
    problems: [
      `${FILE}:11:53 "header" cannot be combined with "rawHeader"`,
      `${FILE}:11:108 "claims" cannot be combined with "rawPayload"`,
      `${FILE}:12:39 "signedBy" cannot be combined with "hmacSecret"`,
    ],
  },
  {
    name: "bytes that would end a line of a request, or its text",
    text: change("from: sleep\n", 'from: sleep\n        headers: { X-A: "\\\\x0D" }\n'),
    problems: [`${FILE}:18:25 headers "X-A" must be a header value on one line, found "\\\\x0D"`],
  },
  {
    name: "a line feed in the path of a row",
    text: change("/ip: ", "/ip\\x0a: "),
    problems: [
      `${FILE}:22:11 row "/ip\\x0a" must be a path that begins with "/" and has no blanks, a method and a path, or a request`,
    ],
  },
  {
    name: "bytes that are not base64",
    text: change("valid: { issuer: corp }", 'valid: { issuer: corp, rawHeader: { base64: "?" } }'),
    problems: [`${FILE}:11:49 base64 must be base64 (RFC 4648), found "?"`],
  },
  {
    name: "a missing manifest",
    text: change("apply: policy.yaml", "apply: [polcy.yaml]"),
    problems: [`${FILE}:15:15 there is no manifest "polcy.yaml" in the scenario's folder; did you mean "policy.yaml"?`],
  },
  {
    name: "several wrong manifests",
    text: change("apply: policy.yaml", "apply: [policy.yaml, second.yaml, third.yaml, empty.yaml]"),
    manifests: {
      "policy.yaml": "kind: A\nmetadata: { name: a }\n---\napiVersion: v1\nkind: B\nmetadata: { namespace: b }\n",
      "second.yaml": "apiVersion: v1\nkind: [\n",
      "third.yaml": POLICY + "spec:\n  a: ${jwks.crp}\n  b: x ${nss}\n  ${ns}: c\n",
      "empty.yaml": "# nothing\n",
    },
    problems: [
      "scenarios/jwt/example/empty.yaml:1:1 the manifest holds no object",
      "scenarios/jwt/example/policy.yaml:1:1 the object has no apiVersion",
      "scenarios/jwt/example/policy.yaml:4:1 the object has no metadata.name",
      "scenarios/jwt/example/second.yaml:3:1 this is not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]",
      'scenarios/jwt/example/third.yaml:7:6 unknown issuer "crp" in ${jwks.crp}; did you mean "corp"?',
      'scenarios/jwt/example/third.yaml:8:8 unknown substitution ${nss}; did you mean "ns"?',
      "scenarios/jwt/example/third.yaml:9:3 ${ns} is in a key; substitutions are made in values only",
    ],
  },
  {
    name: "a substitution in flow style",
    text: SCENARIO,
    manifests: { "policy.yaml": "apiVersion: v1\nkind: A\nmetadata: { name: a, namespace: ${ns} }\n" },
    problems: [
      "scenarios/jwt/example/policy.yaml:3:34 this is not valid YAML: Unexpected flow-map-start at node end; inside { } or [ ] put quotes around ${…}",
    ],
  },
  {
    name: "a HEAD request with a demand on the reply's body",
    text: change("columns:  ", "method: HEAD\n        columns:  ").replace("[200, 200,   401]", "[200, 200,   403]"),
    problems: [
      `${FILE}:22:34 the reply to a HEAD request has no body to judge by; use GET`,
      `${FILE}:23:34 the reply to a HEAD request has no body to judge by; use GET`,
    ],
  },
  {
    name: "jwksFetchedBy without a check",
    text:
      SCENARIO.slice(0, SCENARIO.indexOf("      checks:")) +
      "      jwksFetchedBy: [{ server: nginx-proxy, by: istiod }]\n",
    problems: [`${FILE}:16:23 jwksFetchedBy needs a check in its step; without a request no keys are fetched`],
  },
  {
    name: "unknown keys at every depth, and values of another type",
    text: change(
      "valid: { issuer: corp }",
      "valid: { issuer: corp, in: [{ headr: x }, { query: 5 }], claims: [] }",
    ).replace("  steps:", "  requests:\n    A: { path: /a, headers: { b: 1 } }\n  steps:"),
    problems: [
      `${FILE}:11:33 in has no "header"`,
      `${FILE}:11:35 unknown key "headr" in in; did you mean "header"?`,
      `${FILE}:11:56 query must be text, found a number; put it in quotes: "5"`,
      `${FILE}:11:70 claims must be a mapping, found a list`,
      `${FILE}:14:5 "A" in requests must be a name of small letters, digits and hyphens`,
      `${FILE}:14:34 headers "b" must be a header value on one line or a list, found a number; put it in quotes: "1"`,
    ],
  },
  {
    name: "a key with a meaning in JavaScript",
    text: change("          /ip: ", "          __proto__: "),
    problems: [`${FILE}:22:11 the key "__proto__" is not allowed`],
  },
  { name: "an empty file", text: "", problems: [`${FILE}:1:1 the scenario must be a mapping, found nothing`] },
];

for (const { name, text, manifests, problems } of CASES)
  test(`reports ${name} with file, line and column`, () => assert.deepEqual(problemsOf(text, manifests), problems));

test("old names of keys work, each with a warning that names the new one", () => {
  const text = change("signedBy: unknown-key", "signedBy: stranger")
    .replace("  level: core\n", "  level: core\n  knownFailure: { reason: r, until: 2027-01-31 }\n")
    .concat("      asked: [{ server: nginx-proxy, by: istiod }]\n");
  const { scenario, problems, warnings } = parseScenario(text, FILE, surroundings());
  assert.deepEqual(problems, []);
  assert.deepEqual(scenario!.knownFailure, { reason: "r", expires: "2027-01-31", owner: "an unnamed owner" });
  assert.equal(scenario!.tokens["forged"]!.signedBy, "unknown-key");
  assert.deepEqual(
    scenario!.steps[0]!.asked.map(({ server, by }) => [server, by]),
    [["nginx-proxy", "istiod"]],
  );
  assert.deepEqual(warnings.map(formatProblem), [
    `${FILE}:24:7 the key "asked" has a new name; write jwksFetchedBy; the next version does not know asked`,
    `${FILE}:13:39 the value "stranger" has a new name; write unknown-key; the next version does not know stranger`,
    `${FILE}:8:30 the key "until" has a new name; write expires; the next version does not know until`,
    `${FILE}:8:17 the known failure has no owner; add owner: a team or a person who answers for it`,
  ]);
});

/** A folder with two scenarios, one of them broken, a folder without one, and a broken issuer. */
async function brokenFolder(): Promise<string> {
  const base = await mkdtemp(join(tmpdir(), "meshproof-test-"));
  const files = {
    "scenarios/issuers/corp.yaml": ISSUERS.corp,
    "scenarios/issuers/broken.yaml": "iss: x\nkeys: [{ kid: a, alg: RS265 }]\n",
    "scenarios/workloads/httpbin/httpbin.yaml": "",
    "scenarios/workloads/sleep/sleep.yaml": "",
    [FILE]: SCENARIO,
    "scenarios/jwt/example/policy.yaml": POLICY,
    "scenarios/jwt/other/scenario.yaml": SCENARIO,
    "scenarios/paths/empty/README.md": "",
  };
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(base, path)), { recursive: true });
    await writeFile(join(base, path), text);
  }
  return base;
}

test("loads every group and collects the problems of all folders", async (t) => {
  const base = await brokenFolder();
  t.after(() => rm(base, { recursive: true }));
  const { scenarios, problems } = await loadScenarios(join(base, "scenarios"));
  assert.deepEqual(
    scenarios.map(({ id }) => id),
    ["jwt/example"],
  );
  assert.deepEqual(problems.map(formatProblem), [
    'scenarios/issuers/broken.yaml:2:23 alg must be RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, HS256, HS384, HS512 or EdDSA, found "RS265"; did you mean "RS256"?',
    'scenarios/jwt/other/scenario.yaml:4:9 metadata.name is "example" in the folder "other"; they must be the same',
    'scenarios/jwt/other/scenario.yaml:15:14 there is no manifest "policy.yaml" in the scenario\'s folder',
    "scenarios/paths/empty:1:1 the folder has no scenario.yaml",
  ]);
});

test("reads only the folders that are named, each of which must be a scenario's", async (t) => {
  const base = await brokenFolder();
  t.after(() => rm(base, { recursive: true }));
  const root = join(base, "scenarios");
  const { scenarios, problems } = await loadScenarios(root, { only: ["jwt/example"] });
  assert.deepEqual(
    scenarios.map(({ id }) => id),
    ["jwt/example"],
  );
  assert.ok(!problems.some(({ position }) => position.file.includes("other")));

  const named: readonly (readonly [names: string[], ids: string[] | undefined])[] = [
    [["jwt/example"], ["jwt/example"]],
    [
      ["scenarios/jwt/other/scenario.yaml", "jwt/example", "./scenarios/jwt/other/"],
      ["jwt/example", "jwt/other"],
    ],
    [[], undefined],
    [["example"], undefined],
    [["jwt/*"], undefined],
    [["jwt/example", "jwt"], undefined],
    [["jwt/exampel"], undefined],
    [["paths/empty"], undefined],
    [["../scenarios/jwt/example"], ["jwt/example"]],
    [["jwt/.."], undefined],
  ];
  for (const [names, ids] of named) assert.deepEqual(await idsNamed(root, names), ids, names.join(" "));
});

test("rows may name a method or a request, columns several tokens, and an expectation a policy", () => {
  const text = change(
    "          /ip:      [200, 200,   { status: 401, body: Jwt verification fails }]\n",
    "          POST /ip: [200, 200, { status: 403, policy: p }]\n          upper:    [200, 200, 401]\n",
  )
    .replace("  steps:", "  requests:\n    upper: { path: /a, headers: { Host: X }, protocol: h2c }\n  steps:")
    .replace("columns:   [none, valid, forged]", "columns:   [none, valid+forged, forged]");
  const { scenario, problems } = parseScenario(text, FILE, surroundings());
  assert.deepEqual(problems, []);
  const checks = scenario!.steps[0]!.checks;
  assert.deepEqual(checks.find(({ name }) => name === "upper valid+forged")!.request, {
    from: "sleep",
    to: "httpbin",
    method: "GET",
    path: "/a",
    headers: [["Host", "X"]],
    protocol: "h2c",
  });
  const posted = checks.find(({ name }) => name === "POST /ip forged")!;
  assert.deepEqual([posted.request.method, posted.request.path], ["POST", "/ip"]);
  assert.deepEqual(posted.expect, { status: 403, by: "authorization", policy: "p" });
});

test("a variant that the token's algorithm does not have is a problem in its check", () => {
  const text = change(
    "forged: { issuer: corp, signedBy: unknown-key }",
    "forged: { issuer: corp, variant: der-signature }",
  );
  assert.match(problemsOf(text).join("\n"), /a token of RS256 has no variant der-signature/);
});

test("a range of Istio versions is kept, and must be valid", () => {
  const ranged = (range: string): string => change("  level: core\n", `  level: core\n  istio: "${range}"\n`);
  assert.equal(parseScenario(ranged(">=1.29"), FILE, surroundings()).scenario!.istio, ">=1.29");
  assert.deepEqual(problemsOf(ranged("from 1.29 on")), [
    `${FILE}:8:10 "from 1.29 on" is not a range of versions; such as >=1.29, or >=1.27 <1.30`,
  ]);
});

test("a step deletes only what an earlier step of the scenario applied", () => {
  const theirs = POLICY.replace("${ns}", "prod");
  const list = `apiVersion: v1\nkind: List\nmetadata: { name: l }\nitems:\n${theirs.replace(/^/gm, "    ").replace("    ", "  - ")}\n`;
  const steps = (more: string): string =>
    `${SCENARIO}    - name: then\n${more}      checks: [{ from: sleep, to: httpbin, path: /, token: none, expect: 200 }]\n`;
  const files = { "policy.yaml": POLICY, "same.yaml": POLICY, "theirs.yaml": theirs, "list.yaml": list };
  const refused = (line: number, object: string): string =>
    `${FILE}:${line}:15 RequestAuthentication ${object} is deleted, and no earlier step of this scenario applies it; a scenario may delete only its own objects`;

  assert.deepEqual(problemsOf(steps("      delete: policy.yaml\n"), files), []);
  assert.deepEqual(problemsOf(steps("      delete: same.yaml\n"), files), [], "the object counts, not the file");
  assert.deepEqual(problemsOf(steps("      delete: theirs.yaml\n"), files), [refused(24, "prod/jwt-example")]);
  assert.deepEqual(problemsOf(steps("      delete: list.yaml\n"), files), [refused(24, "prod/jwt-example")]);
  // A step deletes before it applies.
  assert.deepEqual(problemsOf(steps("      delete: theirs.yaml\n      apply: theirs.yaml\n"), files), [
    refused(24, "prod/jwt-example"),
  ]);
});

describe("what the API server must say", () => {
  const bad = `${POLICY}---\n${POLICY.replace("jwt-example", "other")}`;
  const load = (asks: string) =>
    parseScenario(`${SCENARIO}    - name: asks\n      apiServer:\n${asks}`, FILE, {
      ...surroundings(),
      manifests: new Map([
        ["policy.yaml", POLICY],
        ["bad.yaml", bad],
      ]),
    });

  it("is read of the object that is named, or the only one", () => {
    const { scenario, problems } = load(
      `        - { manifest: bad.yaml, object: other, refuses: no, field: spec.x }
        - { manifest: policy.yaml, warns: careful }
`,
    );
    assert.deepEqual(problems.map(formatProblem), []);
    const step = scenario!.steps.at(-1)!;
    assert.deepEqual(
      (step.admission ?? []).map(({ name, at, expected, position }) => [name, at, expected, position.line]),
      [
        ["RequestAuthentication other", 1, { verdict: "refused", text: "no", field: "spec.x" }, 25],
        ["RequestAuthentication jwt-example", 0, { verdict: "warned", text: "careful" }, 26],
      ],
    );
    assert.deepEqual([step.checks, step.apply], [[], []]);
  });

  for (const [ask, problem] of [
    ["{ manifest: bad.yaml, refuses: no }", "25:11 bad.yaml has 2 objects; name one of them with object"],
    [
      "{ manifest: bad.yaml, object: othr, accepts: true }",
      '25:41 bad.yaml has no object "othr"; did you mean "other"?',
    ],
    [
      "{ manifest: bd.yaml, accepts: true }",
      '25:23 there is no manifest "bd.yaml" in the scenario\'s folder; did you mean "bad.yaml"?',
    ],
    ["{ manifest: policy.yaml, refuses: no, warns: no }", '25:49 apiServer cannot have both "refuses" and "warns"'],
    ["{ manifest: policy.yaml, accepts: false }", '25:45 accepts must be true, found "false"'],
  ] as const)
    it(`is refused with its line for ${ask}`, () => {
      const { problems } = load(`        - ${ask}\n`);
      assert.deepEqual(problems.map(formatProblem), [`${FILE}:${problem}`]);
    });

  it("is asked once of each object of a step", () => {
    const { problems } = load("        - { manifest: policy.yaml, accepts: true }\n".repeat(2));
    assert.deepEqual(problems.map(formatProblem), [
      `${FILE}:26:11 RequestAuthentication jwt-example is asked about twice in this step`,
    ]);
  });
});

describe("policies of the repository", () => {
  const OWN = `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: jwt, namespace: shop }
spec:
  jwtRules:
    - { issuer: https://corp.example, jwksUri: https://corp.example/keys }
`;
  const load = (apply: string, namespaces = 'namespaces: { shop: "${ns}" }') =>
    parseScenario(
      change("apply: policy.yaml", `apply: ${apply}`).replace("  tokens:\n", `  ${namespaces}\n  tokens:\n`),
      FILE,
      {
        ...surroundings(),
        readOwn: (source) =>
          "path" in source && source.path !== "../../deploy/jwt.yaml"
            ? { message: `there is no file ${source.path}` }
            : { text: OWN, file: "path" in source ? "deploy/jwt.yaml" : "the command" },
      },
    );

  for (const apply of [
    "../../deploy/jwt.yaml",
    "{ path: ../../deploy/jwt.yaml, only: [RequestAuthentication/jwt] }",
    "[{ kustomize: ../../deploy }]",
    "{ command: [helm, template, ../../charts/shop] }",
  ])
    it(`are applied from ${apply}, with the feature that their keys need`, () => {
      const { scenario, problems } = load(apply);
      assert.deepEqual(problems, []);
      assert.deepEqual(scenario!.features, ["outside-host"]);
      const [manifest] = scenario!.steps[0]!.apply;
      assert.match(manifest!.text, /namespace: \$\{ns\}/);
      assert.equal(manifest!.position.line, 16);
      assert.equal(manifest!.objects[0]!.changes?.length, 2);
    });

  it("name a namespace of the scenario, or the file and line of the policy are an error", () => {
    const { problems } = load("../../deploy/jwt.yaml", "namespaces: {}");
    assert.deepEqual(problems.map(formatProblem), [
      'deploy/jwt.yaml:3:35 the namespace shop of RequestAuthentication jwt is not in the scenario; add it to the scenario\'s namespaces: { shop: "${ns}" }, or "${outside.ns}", istio-system or absent',
    ]);
  });

  it("that are not there are an error where the scenario names them", () => {
    const { problems } = load("../../deploy/other.yaml");
    assert.deepEqual(problems.map(formatProblem), [`${FILE}:16:14 there is no file ../../deploy/other.yaml`]);
  });

  it("are described by known keys alone", () => {
    const { problems } = load("{ kustomise: ../../deploy }");
    assert.match(problems.map(formatProblem).join("\n"), /:16:16 unknown key "kustomise" in apply/);
  });
});
