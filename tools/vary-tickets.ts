/**
 * Writes variations of tickets whose right answers are known, each of which must get the same answer: the same objects in another
 * order, in other files, as a List, as JSON, as `kubectl get -o yaml` prints them, together with objects that decide nothing, and in
 * namespaces with other names. `meshproof repro --check <out>` asks them.
 *
 * node cli/node24.mjs tools/vary-tickets.ts <folder of tickets> <out>
 */

import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
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

const VARIATIONS: Readonly<
  Record<string, (ticket: Ticket) => { readonly files: Files; readonly text?: (text: string) => string }>
> = {
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
  namespaces: ({ objects }) => {
    const names = new Set(
      objects.flatMap(({ kind, metadata }) => (kind === "Namespace" ? metadata?.name : metadata?.namespace) ?? []),
    );
    for (const fixed of ["default", "istio-system", "kube-system", "istio"]) names.delete(fixed);
    // The same word gets the same new name at each place, so that it keeps its meaning.
    const word = new RegExp(`(?<![\\w-])(${[...names].join("|")})(?![\\w-])`, "g");
    const text = (from: string): string => (names.size === 0 ? from : from.replaceAll(word, "$1-two"));
    return { files: { "ticket.yaml": text(yaml(objects)) }, text };
  },
};

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
    const { files, text = (same: string) => same } = vary(ticket);
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
