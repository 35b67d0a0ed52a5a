/**
 * Writes variations of tickets whose right answers are known, each of which must get the same answer: the same objects in another
 * order, in other files, as a List, as JSON, as `kubectl get -o yaml` prints them, together with objects that decide nothing, in
 * namespaces, as Services, policies and ports with other names, with rules in another order or in policies of their own, and from
 * another caller where no object compares callers. `meshproof repro --check <out>` asks them.
 *
 * node cli/node24.mjs tools/vary-tickets.ts <folder of tickets> <out>
 */

import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import { parseAllDocuments, stringify } from "yaml";

interface Ticket {
  readonly objects: readonly KubernetesObject[];
  readonly command: string;
  /** `answer.yaml` or `ticket.md`, with its name. */
  readonly answer: readonly [name: string, text: string];
}

interface KubernetesObject {
  readonly apiVersion?: string;
  readonly kind: string;
  readonly metadata?: { readonly name?: string; readonly namespace?: string };
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** File name to text. */
type Files = Readonly<Record<string, string>>;

const yaml = (objects: readonly unknown[]): string =>
  objects.map((one) => stringify(one, { aliasDuplicateObjects: false })).join("---\n");

const one = (objects: readonly unknown[]): Files => ({ "ticket.yaml": yaml(objects) });

/** Nothing of this decides an answer elsewhere. */
const NOISE = parseAll(`
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: elsewhere }
data: { colour: blue }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: aaa-deny-all, namespace: elsewhere }
spec: { action: DENY, rules: [{}] }
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: aaa-tokens, namespace: elsewhere }
spec: { jwtRules: [{ issuer: "https://elsewhere.example" }] }
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: { name: scaler, namespace: elsewhere }
`);

interface Variation {
  readonly files: Files;
  /** Changes the command and the right answer. */
  readonly text?: (text: string) => string;
}

const VARIATIONS: Readonly<Record<string, (ticket: Ticket) => Variation>> = {
  reversed: ({ objects }) => ({ files: one(objects.toReversed()) }),
  rotated: ({ objects }) => ({ files: one([...objects.slice(1), ...objects.slice(0, 1)]) }),
  files: ({ objects }) => ({
    files: Object.fromEntries(objects.map((object, index) => [`${objects.length - index}.yaml`, yaml([object])])),
  }),
  list: ({ objects }) => ({ files: one([{ apiVersion: "v1", kind: "List", items: objects }]) }),
  json: ({ objects }) => ({
    files: { "ticket.yaml": JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }, null, 2) },
  }),
  exported: ({ objects }) => ({ files: one(objects.map(exported)) }),
  noise: ({ objects }) => ({ files: one([...NOISE.slice(0, 2), ...objects, ...NOISE.slice(2)]) }),
  // A policy without effect beside those of the ticket: it selects no pod.
  beside: ({ objects }) => ({ files: one([...objects, ...objects.flatMap(besideIt)]) }),
  namespaces: (ticket) =>
    renamed(
      ticket,
      ticket.objects.flatMap(
        ({ kind, metadata }) => (kind === "Namespace" ? metadata?.name : metadata?.namespace) ?? [],
      ),
    ),
  services: (ticket) =>
    renamed(
      ticket,
      ticket.objects.flatMap(({ kind, metadata }) => (kind === "Service" ? (metadata?.name ?? []) : [])),
    ),
  policies: ({ objects }) => ({
    files: one(
      objects.map((object, index) =>
        isPolicy(object)
          ? { ...object, metadata: { ...object.metadata, name: `z${objects.length - index}-${object.metadata?.name}` } }
          : object,
      ),
    ),
  }),
  rules: ({ objects }) => ({
    files: one(objects.map((object) => (isPolicy(object) ? turned(object, ["rules", "jwtRules"]) : object))),
  }),
  split: ({ objects }) => ({
    files: one(
      objects.flatMap((object) => {
        const rules = object.spec?.["rules"];
        const union = /^(ALLOW|DENY)?$/.test(String(object.spec?.["action"] ?? ""));
        if (object.kind !== "AuthorizationPolicy" || !union || !Array.isArray(rules) || rules.length < 2) return object;
        return rules.map((rule: unknown, index) => ({
          ...object,
          metadata: { ...object.metadata, name: `${object.metadata?.name}-${index + 1}` },
          spec: { ...object.spec, rules: [rule] },
        }));
      }),
    ),
  }),
  together: ({ objects }) => ({
    files: one([...NOISE, ...objects.flatMap((object) => [exported(object), ...besideIt(object)])].toReversed()),
  }),
  ports: ({ objects }) => ({
    files: one(
      objects.map((object) => {
        const ports = object.spec?.["ports"];
        if (object.kind !== "Service" || !Array.isArray(ports)) return object;
        const named = (ports as { name?: string }[]).map(({ name, ...port }) => {
          const protocol = /^(http|http2|grpc|grpc-web|tcp|tls|https|mongo|mysql|redis|udp)(-|$)/.exec(name ?? "")?.[1];
          return { ...port, ...(name !== undefined && { name: protocol === undefined ? name : `${protocol}-two` }) };
        });
        return { ...object, spec: { ...object.spec, ports: named } };
      }),
    ),
  }),
  caller: ({ objects, command }) => {
    const yamlText = yaml(objects);
    const compared = /principals|namespaces:|serviceAccounts|ipBlocks|source\.|PeerAuthentication|sidecar/i.test(
      yamlText,
    );
    const open = compared || /--from|kubectl|Gateway/.test(command + yamlText);
    return {
      files: one(objects),
      text: (text) => (open ? text : text.replace(/(?<=\brepro\s)/, "--from elsewhere/client ")),
    };
  },
};

function isPolicy({ kind }: KubernetesObject): boolean {
  return /^(AuthorizationPolicy|RequestAuthentication|PeerAuthentication)$/.test(kind);
}

/** The same object with these lists turned round. */
function turned(object: KubernetesObject, lists: readonly string[]): KubernetesObject {
  const spec = Object.entries(object.spec ?? {}).map(([field, value]) => [
    field,
    lists.includes(field) && Array.isArray(value) ? value.toReversed() : value,
  ]);
  return { ...object, ...(object.spec && { spec: Object.fromEntries(spec) as Record<string, unknown> }) };
}

function besideIt(object: KubernetesObject): KubernetesObject[] {
  if (object.kind !== "AuthorizationPolicy") return [];
  const { spec, metadata } = object;
  const without = Object.fromEntries(
    Object.entries(spec ?? {}).filter(([field]) => !/^(targetRef|provider)/.test(field)),
  );
  return [
    {
      ...object,
      metadata: { ...metadata, name: `aaa-${metadata?.name}` },
      spec: { ...without, action: "DENY", rules: [{}], selector: { matchLabels: { app: "none-of-the-tickets" } } },
    },
  ];
}

/** The same word gets the same new name at each place, so that it keeps its meaning. */
function renamed({ objects }: Ticket, words: readonly string[]): Variation {
  const names = new Set(words);
  for (const fixed of ["default", "istio-system", "kube-system", "istio", "istio-ingressgateway"]) names.delete(fixed);
  const word = new RegExp(`(?<![\\w-])(${[...names].join("|")})(?![\\w-])`, "g");
  const text = (from: string): string => (names.size === 0 ? from : from.replaceAll(word, "$1-two"));
  return { files: { "ticket.yaml": text(yaml(objects)) }, text };
}

/** As the API server gives it back. */
function exported(object: KubernetesObject): unknown {
  return {
    ...object,
    metadata: {
      ...object.metadata,
      creationTimestamp: "2026-01-01T00:00:00Z",
      generation: 2,
      resourceVersion: "4711",
      uid: "0b0b9a5e-0000-4000-8000-000000000001",
      managedFields: [{ manager: "kubectl-client-side-apply", operation: "Update", apiVersion: object.apiVersion }],
    },
    status: {},
  };
}

function parseAll(text: string): KubernetesObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    const value = document.toJS() as (KubernetesObject & { items?: KubernetesObject[] }) | null;
    return value === null ? [] : (value.items ?? [value]);
  });
}

async function readTicket(folder: string): Promise<Ticket | undefined> {
  const names = await readdir(folder);
  if (!names.includes("command.sh")) return undefined;
  const text = (name: string): Promise<string> => readFile(path.join(folder, name), "utf8");
  const manifests = names.filter((name) => /\.ya?ml$/.test(name) && name !== "answer.yaml").sort();
  const objects = (await Promise.all(manifests.map(text))).flatMap(parseAll);
  const answer = names.includes("answer.yaml") ? "answer.yaml" : "ticket.md";
  return { objects, command: await text("command.sh"), answer: [answer, await text(answer)] };
}

const [from, out] = process.argv.slice(2);
if (from === undefined || out === undefined) throw new Error("usage: vary-tickets.ts <folder of tickets> <out>");
let written = 0;
for (const name of (await readdir(from)).sort()) {
  const folder = path.join(from, name);
  const ticket = await readTicket(folder).catch(() => undefined);
  if (ticket === undefined) continue;
  for (const [variation, vary] of Object.entries(VARIATIONS)) {
    const { files, text = (unchanged: string) => unchanged } = vary(ticket);
    const same = text(ticket.command) === ticket.command && isDeepStrictEqual(files, one(ticket.objects));
    if (same && variation !== "reversed") continue;
    const to = path.join(out, `${name}-${variation}`);
    const words = ticket.command.replaceAll(/(?<=^|\s)\S*\/(\S*)(?=\s)/gm, (word) =>
      path.resolve(word) === path.resolve(folder) ? '"$(dirname "$0")"' : word,
    );
    await mkdir(to, { recursive: true });
    const all = { ...files, "command.sh": text(words), [ticket.answer[0]]: text(ticket.answer[1]) };
    for (const [file, content] of Object.entries(all)) await writeFile(path.join(to, file), content);
    written++;
  }
}
console.log(`${written} tickets in ${out}: npx meshproof repro --check ${out}`);
