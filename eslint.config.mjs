import { defineConfig, globalIgnores } from "eslint/config";
import { importX } from "eslint-plugin-import-x";
import tseslint from "typescript-eslint";

/** Code below `target` must not import from `from`, except these paths relative to it. */
function forbid(target, from, except, message) {
  return { target, from, except, message };
}

const harness =
  "The harness knows a cluster only by clusters/cluster.ts, and neither reports (but words.ts and explanation.ts) nor the command line.";
const reports =
  "Reports read the shapes of harness/model, what Playwright was told (run/{recorder,parent}.ts), an upgrade's verdict (upgrade, verdict/status.ts), make text safe (safe), read a user's files (user-file.ts), and nothing else.";
const reportable = [
  "model",
  "safe",
  "user-file.ts",
  "upgrade",
  "verdict/status.ts",
  "run/recorder.ts",
  "run/parent.ts",
];
const clusters =
  "A cluster may use the harness's model, lanes, own folders, progress and mesh (the Kubernetes client and Istio), and nothing above it.";
const places =
  "Everybody may write the temporary folder: harness/own.ts proves whose a folder is before anything in it is believed.";
const osPlaces = ["node:os", "os"].map((name) => ({ name, importNames: ["tmpdir", "homedir"], message: places }));
const pure = "The model, scenarios, tokens, verdicts, the oracle and comparisons know no Kubernetes.";
const client = { name: "@kubernetes/client-node", message: pure };
const pureFiles = "harness/{model,scenario,tokens,verdict,oracle,compare}/**";
const tests = [
  "**/*.test.ts",
  "**/layers.fixture.ts",
  "**/package.fixture.ts",
  "**/*.e2e.ts",
  "**/*.pw.ts",
  "reports/html/page-test.ts",
];

/** cli -> reports, clusters, harness; nothing imports the other way (see CONTRIBUTING.md). */
const zones = [
  forbid("./harness", "./clusters", ["cluster.ts"], harness),
  // A check that fails is an error of Playwright, whose message is for people.
  forbid("./harness", "./reports", ["words.ts", "explanation.ts"], harness),
  forbid("./harness", "./cli", [], harness),
  forbid("./reports", "./harness", reportable, reports),
  forbid("./reports", "./clusters", ["cluster.ts"], reports),
  forbid("./reports", "./cli", [], reports),
  forbid(
    "./clusters",
    "./harness",
    ["model", "lanes.ts", "own.ts", "progress.ts", "replace-file.ts", "mesh"],
    clusters,
  ),
  forbid("./clusters", "./reports", [], clusters),
  forbid("./clusters", "./cli", [], clusters),
  ...["model", "scenario", "tokens", "verdict", "oracle", "compare"].flatMap((part) =>
    ["mesh", "probe", "run"].map((other) => forbid(`./harness/${part}`, `./harness/${other}`, [], pure)),
  ),
];

/** What a run may have ten thousand of. */
const MANY = new Set([
  ...["Scenario", "StepSpec", "CheckSpec", "AskedSpec", "ManifestFile", "Manifest"],
  ...["ScenarioResult", "StepResult", "CheckResult", "AskedResult"],
]);

/** `Promise.all(scenarios.map(async …))` opens every file and sends every request at once. */
const boundedLanes = {
  meta: {
    type: "problem",
    schema: [],
    messages: {
      lanes: "Every {{type}} at once: use inLanes (harness/lanes.ts), which has eight at a time under way.",
    },
  },
  create(context) {
    const { program, esTreeNodeToTSNodeMap } = context.sourceCode.parserServices;
    const checker = program.getTypeChecker();
    const typeOf = (node) => checker.getTypeAtLocation(esTreeNodeToTSNodeMap.get(node));
    const nameOf = (type) => (type?.aliasSymbol ?? type?.getSymbol())?.name;
    const elementOf = (type) => checker.getIndexTypeOfType(type, 1 /* Number */);
    const promises = (type) =>
      (type.isUnion() ? type.types : [type]).some((t) => nameOf(t) === "Promise" || nameOf(elementOf(t)) === "Promise");
    return {
      "CallExpression[callee.property.name=/^(map|flatMap)$/]"(node) {
        const type = nameOf(elementOf(typeOf(node.callee.object)));
        if (!MANY.has(type)) return;
        const returned = elementOf(typeOf(node));
        if (returned !== undefined && promises(returned)) context.report({ node, messageId: "lanes", data: { type } });
      },
    };
  },
};

/** What reads a text, to find out what it says. */
const READERS = /^(includes|startsWith|endsWith|match|matchAll|search|split|indexOf|replace|replaceAll)$/;
/** What makes English of facts (reports/words.ts, reports/explanation.ts, reports/describe.ts). */
const MAKERS = /^(sentences?|describe[A-Z]\w*|formatExplanation)$/;
/** Where English made of facts is kept beside them, for people. */
const KEPT = /^(reason|reasons|note|notes|explanation|why|complaint|complaints)$/;
/** The same as members alone: a variable of this name holds a command's or a line's words. */
const KEPT_MEMBERS = /^(words)$/;

/** Facts are data, and sentences are made of them last: code that reads one back breaks when a wording changes. */
const noReadingBack = {
  meta: {
    type: "problem",
    schema: [],
    messages: {
      read: "No code reads a sentence back: look at the finding that it was made of (harness/model/finding.ts).",
    },
  },
  create(context) {
    const isEnglish = (node) => {
      switch (node?.type) {
        case "ChainExpression":
        case "TSNonNullExpression":
        case "TSAsExpression":
          return isEnglish(node.expression);
        case "LogicalExpression":
          return isEnglish(node.left);
        case "Identifier":
          return KEPT.test(node.name);
        case "MemberExpression":
          return KEPT.test(node.property.name) || KEPT_MEMBERS.test(node.property.name);
        case "CallExpression":
          return MAKERS.test(node.callee.name);
        default:
          return false;
      }
    };
    return {
      // One sentence compared with another. `reason` beside a literal is Kubernetes' own code.
      "BinaryExpression[operator=/^[!=]==?$/]"(node) {
        if (isEnglish(node.left) && isEnglish(node.right)) context.report({ node, messageId: "read" });
      },
      "CallExpression[callee.type='MemberExpression']"(node) {
        const { object, property } = node.callee;
        const read = READERS.test(property.name)
          ? object
          : /^(test|exec)$/.test(property.name)
            ? node.arguments[0]
            : undefined;
        if (isEnglish(read)) context.report({ node, messageId: "read" });
      },
    };
  },
};

const owned =
  "Objects are made and removed by kube.objects, which knows on a cluster that is somebody else's what this run created.";

const streams =
  "Only cli/streams.ts writes to the standard streams: what a cluster, a file or a mesh says is made safe there.";

/** A wall clock can be set: a limit by it ends early or late. What people or other machines are told needs one. */
const wallClock = {
  selector:
    "BinaryExpression[operator=/^([+-]|[<>]=?)$/] > CallExpression[callee.object.name='Date'][callee.property.name='now']",
  message: "Waits and limits are measured by performance.now().",
};

/** Node.js then has a plain object there, and the process's own environment (os.homedir(), child processes) no longer follows it. */
const wholeEnv = {
  selector: "AssignmentExpression[left.object.name='process'][left.property.name='env']",
  message: "process.env must stay Node's own: set and delete single variables.",
};

/** Of a process in which all unit tests run it would be a hook of all of them. */
const rootHooks = {
  selector: "Program > ExpressionStatement > CallExpression[callee.name=/^(before|beforeEach|afterEach)$/]",
  message: "Unit tests share a process: a hook belongs into a describe.",
};

/** What is removed from JSON text may reach into an escape, and the rest is not JSON any more. */
const redactedJson = {
  selector:
    "CallExpression:matches([callee.name='redact'], [callee.property.name='redact']) > CallExpression[callee.object.name='JSON']",
  message: "Data is redacted before it is written: redactData.",
};

const toStreams = [
  { selector: "ImportDeclaration[source.value=/^(node:)?process$/]", message: streams },
  { selector: "CallExpression[callee.name=/^write(File)?Sync$/][arguments.0.value=/^[12]$/]", message: streams },
];

const typedWrites = {
  selector:
    "CallExpression[callee.property.name=/^(create|replace|delete|patch)(Namespace|Collection|Cluster|CustomObject|Persistent|Mutating|Validating)/]",
  message: owned,
};

/** Files that may write to the standard streams: to somebody else, or for developers. */
const speakers = [
  "cli/streams.ts",
  ...["tools/**", "reports/html/page-test.ts", ...tests],
  ...["workloads/**", "**/*.fixture.ts"],
  // To the process that started it, or to a log file.
  ...["reports/reporter.ts", "clusters/embedded/supervisor.ts", "tools/kind-offline/dockerd.ts"],
];

/** Where a cluster that is somebody else's may be met. */
const beyond = ["harness/**/*.ts", "clusters/**/*.ts", "cli/**/*.ts"];
/** The Lease and the journal in the cluster are owned by uid themselves, a mesh that is changed is one of ours. */
const owners = [
  "clusters/lease-server.ts",
  "clusters/existing/cluster-journal.ts",
  "harness/mesh/{install,mesh-setting,upgrade}.ts",
];

export default defineConfig(
  globalIgnores(["results/", "test-results/", "playwright-report/"]),
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.recommended],
    plugins: {
      "import-x": importX,
      meshproof: { rules: { "bounded-lanes": boundedLanes, "no-reading-back": noReadingBack } },
    },
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/consistent-type-imports": "error",
      "no-duplicate-imports": "error",
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          allowForKnownSafeCalls: [
            { from: "package", package: "node:test", name: ["test", "it", "describe", "suite"] },
          ],
        },
      ],
      // `import { type X }` alone loads the module at run time all the same (verbatimModuleSyntax).
      "@typescript-eslint/no-import-type-side-effects": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/no-unnecessary-type-assertion": "error",
      "@typescript-eslint/only-throw-error": "error",
      "@typescript-eslint/prefer-promise-reject-errors": "error",
      "@typescript-eslint/return-await": ["error", "error-handling-correctness-only"],
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/no-unused-vars": [
        "error",
        { argsIgnorePattern: "^_", varsIgnorePattern: "^_", destructuredArrayIgnorePattern: "^_" },
      ],
      "import-x/no-restricted-paths": ["error", { zones }],
      "meshproof/bounded-lanes": "error",
      "no-console": "error",
      "no-restricted-properties": [
        "error",
        ...["stdout", "stderr", "emitWarning"].map((property) => ({ object: "process", property, message: streams })),
      ],
      "no-restricted-syntax": ["error", wallClock, redactedJson, ...toStreams],
      eqeqeq: "error",
    },
  },
  // What writes to the streams makes foreign text safe first; each of these writes to somebody else, or for developers.
  {
    files: speakers,
    rules: { "no-console": "off", "no-restricted-properties": "off", "no-restricted-syntax": "off" },
  },
  {
    files: ["{harness,reports,cli,tools}/**/*.ts"],
    ignores: tests,
    rules: { "meshproof/no-reading-back": "error" },
  },
  // A longer file says why in its first line: eslint-disable max-lines -- the reason.
  { files: ["**/*.ts"], ignores: tests, rules: { "max-lines": ["error", 350] } },
  { files: ["**/*.ts"], rules: { "no-restricted-imports": ["error", { paths: osPlaces }] } },
  { files: [pureFiles], rules: { "no-restricted-imports": ["error", { paths: [client, ...osPlaces] }] } },
  // Each test makes its folders by mkdtemp.
  { files: ["harness/own.ts", ...tests], rules: { "no-restricted-imports": "off" } },
  { files: [`${pureFiles}/*.test.ts`], rules: { "no-restricted-imports": ["error", { paths: [client] }] } },
  { files: ["**/*.test.ts"], rules: { "no-restricted-syntax": ["error", rootHooks, wholeEnv] } },
  // The later of two entries replaces the earlier one, so each says all that holds for its files.
  {
    files: beyond,
    ignores: [...owners, ...speakers],
    rules: { "no-restricted-syntax": ["error", wallClock, redactedJson, typedWrites, ...toStreams] },
  },
  // An end-to-end test needs a cluster, wherever it stands.
  {
    files: ["**/*.e2e.ts"],
    rules: { "import-x/no-restricted-paths": "off", "no-restricted-syntax": ["error", wholeEnv] },
  },
);
