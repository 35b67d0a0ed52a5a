import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAllDocuments } from "yaml";
import { MeshproofError } from "../model/errors.ts";
import { parseManifest } from "./manifest.ts";
import { substitute, type SubstitutionValues } from "./substitute.ts";

const JWKS = JSON.stringify({
  keys: [
    { kid: "it's", kty: "oct", k: "a b: c #d" },
    { kid: "long", n: "x".repeat(400) },
  ],
});

const VALUES: SubstitutionValues = {
  ns: "foo",
  fresh: "r-s-1",
  outsideIp: "10.0.0.9",
  outsideNs: "outside",
  outsideHost: "outside.example",
  jwks: () => JWKS,
  jwksUri: (issuer, via) => `http://keys/${issuer}/${via ?? "inside"}`,
};

/** The objects of a file after substitution, which must be the same as those in its YAML. */
function objectsOf(text: string, values = VALUES): unknown[] {
  const { yaml, objects } = substitute(parseManifest(text, "policy.yaml"), values);
  const printed = parseAllDocuments(yaml).map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS() as unknown;
  });
  assert.deepEqual(objects, printed);
  return printed;
}

test("substitutes in values of every style, and nowhere else", () => {
  const text = `# keeps \${this}
apiVersion: v1
kind: \${ns} # and \${that}
plain: \${jwks.corp}
single: '\${jwks.corp}'
double: "\${jwks.corp}"
part: x-\${ns}.\${outside.ip}.\${outside.host}
block: |
  \${jwks.corp}
folded: >-
  \${jwks.corp}
  \${ns}
flow: ["\${ns}", { a: '\${jwksUri.corp}' }]
uris:
  - \${jwksUri.corp@outside-http}
  - \${jwksUri.corp@outside-https}
number: 5
quoted: "5"
`;
  assert.deepEqual(objectsOf(text), [
    {
      apiVersion: "v1",
      kind: "foo",
      plain: JWKS,
      single: JWKS,
      double: JWKS,
      part: "x-foo.10.0.0.9.outside.example",
      block: `${JWKS}\n`,
      folded: `${JWKS} foo`,
      flow: ["foo", { a: "http://keys/corp/inside" }],
      uris: ["http://keys/corp/outside-http", "http://keys/corp/outside-https"],
      number: 5,
      quoted: "5",
    },
  ]);
  assert.match(substitute(parseManifest(text, "policy.yaml"), VALUES).yaml, /^# keeps \$\{this\}$/m);
});

test("a value that looks like another type stays text", () => {
  const values = { ...VALUES, ns: "007", outsideIp: "true" };
  assert.deepEqual(objectsOf("a: ${ns}\nb: ${outside.ip}\n", values)[0], { a: "007", b: "true" });
});

test("keeps every object of a file with several, and drops empty documents", () => {
  const text = "---\n# first\na: ${ns}\n---\n---\nb: 1\n...\n---\nc: ${ns}\n";
  assert.deepEqual(objectsOf(text), [{ a: "foo" }, { b: 1 }, { c: "foo" }]);
});

test("a file's own tree does not change: another run substitutes other values", () => {
  const manifest = parseManifest("a: ${ns}\n", "f");
  assert.equal(substitute(manifest, { ...VALUES, ns: "one" }).yaml, "a: one\n");
  assert.equal(substitute(manifest, { ...VALUES, ns: "two" }).yaml, "a: two\n");
});

test("text that comes from a value is not substituted again", () => {
  const values = { ...VALUES, jwks: () => "${ns} $& $1" };
  assert.deepEqual(objectsOf("a: ${jwks.corp}", values)[0], { a: "${ns} $& $1" });
});

test("lists a manifest's substitutions", () => {
  const text = "a: x${ns}\nb: |\n  one\n  two ${jwksUri.corp@outside-https} ${jwks.other}\n";
  assert.deepEqual(parseManifest(text, "f").uses, [
    { written: "${ns}", name: "ns", position: { file: "f", line: 1, column: 5 } },
    {
      written: "${jwksUri.corp@outside-https}",
      name: "jwksUri",
      issuer: "corp",
      via: "outside-https",
      position: { file: "f", line: 4, column: 7 },
    },
    { written: "${jwks.other}", name: "jwks", issuer: "other", position: { file: "f", line: 4, column: 37 } },
  ]);
});

const ALL =
  "known are ${ns}, ${fresh}, ${outside.ns}, ${outside.ip}, ${outside.host}, ${tls.crt}, ${tls.key}, ${jwks.<issuer>}, ${jwksUri.<issuer>}, ${jwksUri.<issuer>@outside-http}, ${jwksUri.<issuer>@outside-https}";

for (const [text, message] of [
  ["a: ${namespace}", `p.yaml:1:4 unknown substitution \${namespace}; ${ALL}`],
  ["a: 1\nb: x ${jwskUri.corp}", 'p.yaml:2:6 unknown substitution ${jwskUri.corp}; did you mean "jwksUri"?'],
  ["a: ${jwksUri.corp@inside}", `p.yaml:1:4 unknown substitution \${jwksUri.corp@inside}; ${ALL}`],
  ["a: ${jwks}", `p.yaml:1:4 unknown substitution \${jwks}; ${ALL}`],
  ["a: ${ns", `p.yaml:1:4 unknown substitution \${ns; did you mean "ns"?`],
  ["${ns}: a", "p.yaml:1:1 ${ns} is in a key; substitutions are made in values only"],
  [
    "a: [",
    "p.yaml:1:5 this is not valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]",
  ],
] as const)
  test(`rejects ${JSON.stringify(text)}`, () => {
    assert.throws(
      () => parseManifest(text, "p.yaml"),
      (error) => {
        assert(error instanceof MeshproofError);
        assert.deepEqual([error.code, error.message], ["ERR_SCENARIO_INVALID", message]);
        return true;
      },
    );
  });

test("a certificate and its key are written as they are", () => {
  const tls = { crt: "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", key: "a key" };
  const text = "kind: Secret\nstringData: { tls.crt: '${tls.crt}', tls.key: '${tls.key}' }\n";
  const found = objectsOf(text, { ...VALUES, tls }) as { stringData: unknown }[];
  assert.deepEqual(found[0]?.stringData, { "tls.crt": tls.crt, "tls.key": tls.key });
});
