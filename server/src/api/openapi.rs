//! The description of the API: OpenAPI 3.1, from the wire types and the table of routes.
//!
//! Owns what each operation is called and which types it takes and gives. Who may call it comes from
//! the routes themselves, and a test compares both, so that none is missing here.

use std::sync::OnceLock;

use axum::Json;
use axum::extract::State;
use firstbad_api::amend::{Amend, Done, Retract};
use firstbad_api::attempt::Attempt;
use firstbad_api::campaign::{Campaign, NewCampaign};
use firstbad_api::job::{Cancel, Created, HumanMark, Job, NewJob, NewMark, Range};
use firstbad_api::known::Known;
use firstbad_api::lease::{FinishRequest, Lease, LeaseRequest, Renew, Renewed, StageEnd};
use firstbad_api::list::JobList;
use firstbad_api::metric::MetricOfJob;
use firstbad_api::patch::PatchVerdict;
use firstbad_api::problem::{CONTENT_TYPE, Problem};
use firstbad_api::regression::{Regression, SetState};
use firstbad_api::report::Mail;
use firstbad_api::rule::{Head, MadeRule, NewRule, Rule, RuleChange, Schedule, Trigger, Triggered};
use firstbad_api::survey::{BisectEdge, Matrix, MoreReleases, NewSurvey, Survey};
use firstbad_api::tree::{History, NewConfigs, NewSeries, NewTree, Resolved, Tree};
use firstbad_api::user::{MadeToken, NewToken, NewUser, Token, User, UserChange};
use firstbad_api::webhook::{Delivery, MadeWebhook, NewWebhook, Webhook};
use firstbad_api::worker::{Register, Registered, Worker};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::access::{Access, Route};
use crate::state::App;

/// Where the JSON routes are.
pub const PREFIX: &str = "/api/v1";

type Of = fn(&mut SchemaGenerator) -> Schema;

/// What an operation answers when it succeeds.
enum Answer {
    Json(u16, Of),
    /// A status alone.
    Nothing(u16),
    /// A body of this media type.
    Body(&'static str),
}

/// One operation.
pub struct Operation {
    pub method: &'static str,
    /// Below [`PREFIX`].
    pub path: &'static str,
    /// Its name for programs.
    id: &'static str,
    pub tag: &'static str,
    pub about: &'static str,
    /// Name, type, whether it is needed, and what it is.
    query: &'static [(&'static str, &'static str, bool, &'static str)],
    request: Option<Of>,
    answer: Answer,
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// `operation(method and path, name, tag, about, request, answer)`.
const fn operation(
    (method, path): (&'static str, &'static str),
    id: &'static str,
    tag: &'static str,
    about: &'static str,
    request: Option<Of>,
    answer: Answer,
) -> Operation {
    Operation {
        method,
        path,
        id,
        tag,
        about,
        query: &[],
        request,
        answer,
    }
}

const fn with(
    operation: Operation,
    query: &'static [(&'static str, &'static str, bool, &'static str)],
) -> Operation {
    Operation { query, ..operation }
}

use Answer::{Body, Nothing};

/// What the list of jobs is narrowed by.
#[rustfmt::skip]
static LISTED: &[(&str, &str, bool, &str)] = &[
    ("q", "string", false, "Words that each begin a word of the job or of commits of its range, or a commit's id, at least five digits; `#7` is job 7."),
    ("group", "string", false, "person (ended without an answer), now or answered."),
    ("state", "string", false, "queued, running, done or cancelled."),
    ("tree", "string", false, "Name of a tree."),
    ("suite", "string", false, "Name of a suite."),
    ("outcome", "string", false, "Name of an outcome, such as culprit."),
    ("signal", "string", false, "failure, cases, crash or metric."),
    ("label", "string", false, "Those with this label."),
    ("mine", "string", false, "1: only those of who asks."),
    ("limit", "integer", false, "At most so many, to 200; 50 unless said."),
    ("cursor", "string", false, "What an answer called next."),
];

/// Which metric.
static METRIC: &[(&str, &str, bool, &str)] = &[(
    "name",
    "string",
    false,
    "As the cases call it; left out: the one that the job looks at, else the first.",
)];

/// Every operation, in the order they are shown.
#[rustfmt::skip]
pub static OPERATIONS: &[Operation] = &[
    operation(("post", "/jobs"), "submitJob", "jobs", "Submit a job. With `Idempotency-Key` the same request again joins the first job, and without it who asks the same joins the job that looks for the answer (200).", Some(of::<NewJob>), Answer::Json(201, of::<Created>)),
    operation(("post", "/campaigns"), "submitCampaign", "jobs", "Submit a job as a `campaign-request/v1` of kci-bisect. An equal request joins the first job (200).", Some(of::<NewCampaign>), Answer::Json(201, of::<Campaign>)),
    operation(("post", "/jobs/preview"), "previewJob", "jobs", "Say what a request means: its range and steps. Nothing is stored.", Some(of::<NewJob>), Answer::Json(200, of::<Range>)),
    with(operation(("get", "/jobs"), "listJobs", "jobs", "List jobs, newest first, with what there is of each group.", None, Answer::Json(200, of::<JobList>)), LISTED),
    with(operation(("get", "/jobs/{id}"), "getJob", "jobs", "Read a job with its candidates, costs and outcome.", None, Answer::Json(200, of::<Job>)), &[("wait", "integer", false, "Answer when the job has ended, or after so many seconds, at most 300.")]),
    with(operation(("get", "/jobs/{id}/report"), "getReport", "jobs", "The report as a text fit for a mail.", None, Body("text/plain")), FROM),
    with(operation(("get", "/jobs/{id}/mail"), "getMail", "jobs", "The same as a mail to be sent by a person: recipients, subject, text, a `mailto:` link.", None, Answer::Json(200, of::<Mail>)), FROM),
    with(operation(("get", "/jobs/{id}/report.eml"), "getMailFile", "jobs", "The same as a file for a mail program.", None, Body("message/rfc822")), FROM),
    with(operation(("get", "/patches"), "listPatchVerdicts", "jobs", "What jobs say of a patch of a series that was written here: `pass`, `warn` or `fail`.", None, Answer::Json(200, of::<Vec<PatchVerdict>>)), &[("patch_id", "string", false, "As `git patch-id --stable` tells it."), ("message_id", "string", false, "Of the mail, without brackets.")]),
    with(operation(("get", "/jobs/{id}/kcidb"), "getKcidb", "jobs", "A KCIDB report, schema 5.3: revisions as checkouts, builds and tests, the culprit as an issue.", None, Answer::Json(200, of::<Value>)), &[("origin", "string", false, "What KCIDB calls who sends it; `firstbad` unless said.")]),
    operation(("get", "/jobs/{id}/junit"), "getJunit", "jobs", "JUnit's XML: the answer, and a suite for each revision.", None, Body("application/xml")),
    with(operation(("get", "/jobs/{id}/metric"), "getMetric", "jobs", "One metric of a job, run by run.", None, Answer::Json(200, of::<MetricOfJob>)), METRIC),
    with(operation(("get", "/jobs/{id}/metric/csv"), "getMetricCsv", "jobs", "The same as CSV, a line a run.", None, Body("text/csv")), METRIC),
    operation(("get", "/jobs/{id}/bisect-log"), "getBisectLog", "jobs", "The steps as `git bisect replay` takes them.", None, Body("text/plain")),
    operation(("get", "/jobs/{id}/audit"), "getJobRecord", "jobs", "What was done with a job, and by whom, newest first.", None, Answer::Json(200, of::<Vec<Done>>)),
    operation(("post", "/jobs/{id}/amend"), "amendJob", "jobs", "Change how a job goes on (200), or go on from it as another job (201).", Some(of::<Amend>), Answer::Json(200, of::<Created>)),
    operation(("post", "/jobs/{id}/cancel"), "cancelJob", "jobs", "Stop a job; what it observed stays. The body may be left out.", Some(of::<Cancel>), Nothing(204)),
    operation(("post", "/jobs/{id}/retract"), "retractResult", "jobs", "Say that nobody should rely on the result.", Some(of::<Retract>), Nothing(204)),
    operation(("delete", "/jobs/{id}/retract"), "restoreResult", "jobs", "Take that back.", None, Nothing(204)),
    operation(("post", "/jobs/{id}/marks"), "markRevision", "jobs", "Say what a revision is; that counts instead of its runs.", Some(of::<NewMark>), Answer::Json(201, of::<HumanMark>)),
    operation(("delete", "/jobs/{id}/marks/{rev}"), "unmarkRevision", "jobs", "Take that back.", None, Nothing(204)),
    operation(("get", "/attempts/{id}"), "getAttempt", "attempts", "Read one build or run: what it was given and what it saw.", None, Answer::Json(200, of::<Attempt>)),
    operation(("get", "/attempts/{id}/reproduce.tar"), "getReproduction", "attempts", "A finished run as an archive that runs it again with QEMU alone.", None, Body("application/x-tar")),
    with(operation(("get", "/attempts/{id}/log/{name}"), "getLog", "attempts", "A part of a log; `x-log-total` and `x-log-live` say the rest.", None, Body("text/plain")), &[("offset", "integer", false, "First byte.")]),
    operation(("get", "/artefacts/{sha256}"), "getArtefact", "attempts", "A stored file, such as a kernel or an initramfs.", None, Body("application/octet-stream")),
    operation(("get", "/surveys"), "listSurveys", "surveys", "List surveys, newest first.", None, Answer::Json(200, of::<Vec<Survey>>)),
    operation(("post", "/surveys"), "submitSurvey", "surveys", "Run suites on a row of releases.", Some(of::<NewSurvey>), Answer::Json(201, of::<Created>)),
    operation(("get", "/surveys/{id}"), "getSurvey", "surveys", "Read the matrix, with every change between neighbours.", None, Answer::Json(200, of::<Matrix>)),
    operation(("get", "/surveys/{id}/csv"), "getSurveyCsv", "surveys", "The matrix as CSV.", None, Body("text/csv")),
    operation(("post", "/surveys/{id}/releases"), "extendSurvey", "surveys", "Add releases; what was run is not run again.", Some(of::<MoreReleases>), Answer::Json(200, of::<Created>)),
    operation(("post", "/surveys/{id}/bisect"), "bisectChange", "surveys", "Look into a change with a job.", Some(of::<BisectEdge>), Answer::Json(201, of::<Created>)),
    operation(("get", "/trees"), "listTrees", "trees", "List the mirrored repositories.", None, Answer::Json(200, of::<Vec<Tree>>)),
    operation(("post", "/trees"), "addTree", "trees", "Mirror a repository; answers after the first fetch.", Some(of::<NewTree>), Answer::Json(201, of::<Tree>)),
    operation(("delete", "/trees/{name}"), "removeTree", "trees", "Forget a repository that no job uses.", None, Nothing(204)),
    operation(("post", "/trees/{name}/fetch"), "fetchTree", "trees", "Fetch now.", None, Answer::Json(200, of::<Tree>)),
    with(operation(("get", "/trees/{name}/resolve"), "resolveRevision", "trees", "The commit that a name means.", None, Answer::Json(200, of::<Resolved>)), &[("ref", "string", true, "A tag, branch or commit id.")]),
    operation(("post", "/trees/{name}/series"), "writeSeries", "trees", "Write a patch series as commits, to be searched.", Some(of::<NewSeries>), Answer::Json(201, of::<History>)),
    operation(("post", "/trees/{name}/configs"), "writeConfigs", "trees", "Write the way between two configurations as commits, to be searched.", Some(of::<NewConfigs>), Answer::Json(201, of::<History>)),
    with(operation(("get", "/live"), "follow", "jobs", "Server-sent events: `changed` with a version as its id, at once and whenever something is another; go on with `Last-Event-ID`.", None, Body("text/event-stream")), &[("of", "string", true, "all, job/N, attempt/N or log/N/NAME.")]),
    operation(("get", "/workers"), "listWorkers", "workers", "List the workers, live ones first.", None, Answer::Json(200, of::<Vec<Worker>>)),
    operation(("post", "/workers/{id}/drain"), "drainWorker", "workers", "Give a worker no more work.", None, Nothing(204)),
    operation(("delete", "/workers/{id}/drain"), "undrainWorker", "workers", "Give it work again.", None, Nothing(204)),
    operation(("get", "/webhooks"), "listWebhooks", "webhooks", "List your webhooks; as an operator, all.", None, Answer::Json(200, of::<Vec<Webhook>>)),
    operation(("post", "/webhooks"), "addWebhook", "webhooks", "Be told what becomes of jobs. The secret is told once.", Some(of::<NewWebhook>), Answer::Json(201, of::<MadeWebhook>)),
    operation(("delete", "/webhooks/{id}"), "removeWebhook", "webhooks", "Be told nothing any more.", None, Nothing(204)),
    operation(("post", "/webhooks/{id}/test"), "testWebhook", "webhooks", "Send a message that says nothing.", None, Nothing(202)),
    operation(("get", "/webhooks/{id}/deliveries"), "listDeliveries", "webhooks", "What was and is to be sent, newest first.", None, Answer::Json(200, of::<Vec<Delivery>>)),
    operation(("post", "/deliveries/{id}/replay"), "replayDelivery", "webhooks", "Send a delivery again under its id.", None, Nothing(202)),
    operation(("get", "/tokens"), "listTokens", "accounts", "List your tokens; as an admin, all.", None, Answer::Json(200, of::<Vec<Token>>)),
    operation(("post", "/tokens"), "addToken", "accounts", "Make a token. It is told once.", Some(of::<NewToken>), Answer::Json(201, of::<MadeToken>)),
    operation(("delete", "/tokens/{id}"), "revokeToken", "accounts", "End a token.", None, Nothing(204)),
    operation(("get", "/users"), "listUsers", "accounts", "List the accounts.", None, Answer::Json(200, of::<Vec<User>>)),
    operation(("post", "/users"), "addUser", "accounts", "Make an account.", Some(of::<NewUser>), Nothing(201)),
    operation(("patch", "/users/{name}"), "changeUser", "accounts", "Change an account; what is left out stays.", Some(of::<UserChange>), Nothing(204)),
    operation(("post", "/workers"), "registerWorker", "for workers", "A worker process introduces itself.", Some(of::<Register>), Answer::Json(200, of::<Registered>)),
    operation(("post", "/leases"), "lease", "for workers", "Ask for work; waits for some, and answers 204 when there is none.", Some(of::<LeaseRequest>), Answer::Json(200, of::<Lease>)),
    operation(("post", "/attempts/renew"), "renewLease", "for workers", "Keep a lease.", Some(of::<Renew>), Answer::Json(200, of::<Renewed>)),
    operation(("post", "/attempts/stage"), "endStage", "for workers", "A stage has ended.", Some(of::<StageEnd>), Nothing(204)),
];

/// The last three, which take bytes or more than an array of constants is pleasant for.
#[rustfmt::skip]
static MORE: &[Operation] = &[
    operation(("post", "/attempts/finish"), "finishAttempt", "for workers", "An attempt has ended; the same report again is answered as the first time.", Some(of::<FinishRequest>), Nothing(204)),
    with(operation(("put", "/attempts/log"), "putLog", "for workers", "A part of a log, at its offset.", None, Nothing(204)), UPLOAD),
    with(operation(("put", "/attempts/artefact"), "putArtefact", "for workers", "A file, or with `known` the question whether it is there.", None, Nothing(204)), UPLOAD),
];

/// Whose mail a report will be.
const FROM: &[(&str, &str, bool, &str)] = &[(
    "from",
    "string",
    false,
    "`Name <address>` of who will send it: for `From:` and `Reported-by:`.",
)];

/// What a service sends is its own matter.
fn any(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}

/// What regressions are narrowed by.
static REGRESSIONS: [(&str, &str, bool, &str); 4] = [
    ("state", "string", false, "open, fixed or invalid."),
    ("tree", "string", false, "Name of a tree."),
    (
        "job",
        "integer",
        false,
        "Only those that this job looks into.",
    ),
    ("before", "integer", false, "Only those before this one."),
];

/// What is known besides, and what is watched.
#[rustfmt::skip]
static WATCHED: [Operation; 15] = [
    operation(("get", "/jobs/{id}/known"), "getKnown", "jobs", "Where the change that a job named lives besides, and which commits repair it or take it back.", None, Answer::Json(200, of::<Known>)),
    operation(("put", "/trees/{name}/schedule"), "scheduleTree", "trees", "Say how often a tree is fetched.", Some(of::<Schedule>), Answer::Json(200, of::<Tree>)),
    operation(("get", "/rules"), "listRules", "rules", "List your rules; as an operator, all.", None, Answer::Json(200, of::<Vec<Rule>>)),
    operation(("post", "/rules"), "addRule", "rules", "Run a suite when a branch moves or a tag appears. The secret of its hooks is told once.", Some(of::<NewRule>), Answer::Json(201, of::<MadeRule>)),
    operation(("patch", "/rules/{id}"), "changeRule", "rules", "Change a rule; what is left out stays.", Some(of::<RuleChange>), Nothing(204)),
    operation(("delete", "/rules/{id}"), "removeRule", "rules", "Remove a rule; its jobs and regressions stay.", None, Nothing(204)),
    operation(("get", "/rules/{id}/heads"), "listHeads", "rules", "What a rule saw, newest first.", None, Answer::Json(200, of::<Vec<Head>>)),
    operation(("post", "/rules/{id}/secret"), "renewSecret", "rules", "Make a new secret for the hooks of a rule.", None, Answer::Json(200, of::<MadeRule>)),
    operation(("post", "/triggers/{id}"), "triggerRule", "rules", "Fetch the rule's tree and run what is new, or one revision. The body may be left out.", Some(of::<Trigger>), Answer::Json(202, of::<Triggered>)),
    operation(("post", "/hooks/github/{id}"), "hookGithub", "rules", "A push that GitHub tells of, with `X-Hub-Signature-256`.", Some(any), Answer::Json(202, of::<Triggered>)),
    operation(("post", "/hooks/gitlab/{id}"), "hookGitlab", "rules", "A push that GitLab tells of, with `X-Gitlab-Token` or a signature of Standard Webhooks.", Some(any), Answer::Json(202, of::<Triggered>)),
    operation(("post", "/hooks/forgejo/{id}"), "hookForgejo", "rules", "A push that Forgejo or Gitea tells of, with its signature.", Some(any), Answer::Json(202, of::<Triggered>)),
    with(operation(("get", "/regressions"), "listRegressions", "regressions", "List regressions, newest first.", None, Answer::Json(200, of::<Vec<Regression>>)), &REGRESSIONS),
    operation(("get", "/regressions/{id}"), "getRegression", "regressions", "Read a regression: since when, the job, the culprit, the fix.", None, Answer::Json(200, of::<Regression>)),
    operation(("post", "/regressions/{id}/state"), "setRegression", "regressions", "Say what a regression is, and why.", Some(of::<SetState>), Nothing(204)),
];

const UPLOAD: &[(&str, &str, bool, &str)] = &[
    ("attempt", "integer", true, "Of the lease."),
    ("epoch", "integer", true, "Of the lease."),
    ("incarnation", "string", true, "Of the lease."),
    ("worker", "string", true, "Of the lease."),
    ("name", "string", true, "Of the log or file."),
    ("offset", "integer", false, "Of a part of a log."),
    ("sha256", "string", false, "Of a file."),
    (
        "known",
        "boolean",
        false,
        "Send nothing if it is stored already.",
    ),
];

/// All operations.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    OPERATIONS.iter().chain(&WATCHED).chain(MORE)
}

/// `GET /openapi.json`.
pub async fn show(State(app): State<App>) -> Json<&'static Value> {
    Json(described(&app))
}

/// The description, made once.
pub(crate) fn described(app: &App) -> &'static Value {
    static DESCRIBED: OnceLock<Value> = OnceLock::new();
    DESCRIBED.get_or_init(|| document(crate::run::routes(app).table()))
}

/// A body as many would send it.
fn example(id: &str) -> Option<Value> {
    Some(match id {
        "submitJob" | "previewJob" => json!({
            "tree": "linux", "good": ["v6.18"], "bad": "v7.2", "suite": "btrfs/direct-io",
        }),
        "submitSurvey" => json!({
            "tree": "linux", "releases": ["v6.18", "v7.2"], "suites": ["container/lifecycle"], "runs": 2,
        }),
        "amendJob" => json!({ "runs": 5, "why": "to be surer" }),
        "markRevision" => json!({ "rev": "5da79c8e1b0f", "mark": "skip", "why": "known to hang" }),
        "retractResult" => json!({ "reason": "the test was wrong" }),
        "addWebhook" => json!({ "url": "https://ci.example.org/firstbad" }),
        "addRule" => json!({
            "tree": "linux", "name": "smoke", "refs": "linux-6.*", "run": { "suite": "btrfs/smoke" },
        }),
        "triggerRule" => json!({ "ref": "linux-6.18" }),
        "setRegression" => json!({ "state": "invalid", "reason": "the test was wrong" }),
        "addToken" => json!({ "name": "ci", "role": "submitter" }),
        _ => return None,
    })
}

/// The document for these routes.
fn document(table: &[Route]) -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>();
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths
            .entry(format!("{PREFIX}{}", operation.path))
            .or_insert_with(|| json!({}));
        path[operation.method] = operation.described(&mut generator, &problem, table);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "firstbad",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Which commit changed the answer of a test: jobs, what they saw, and who is told.",
            "license": { "name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE") },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "`fb_…`, made on /tokens." },
            },
        },
    })
}

impl Operation {
    fn described(
        &self,
        generator: &mut SchemaGenerator,
        problem: &Schema,
        table: &[Route],
    ) -> Value {
        let mut out = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.about,
            "parameters": self.parameters(),
            "responses": {
                "default": {
                    "description": "Refused, with the field at fault and what to do.",
                    "content": { CONTENT_TYPE: { "schema": problem } },
                },
            },
        });
        if let Some(request) = self.request {
            // What may be left out has nothing that is needed.
            let needed = !matches!(self.id, "cancelJob" | "triggerRule");
            let schema = request(generator);
            out["requestBody"] = json!({
                "required": needed, "content": { "application/json": { "schema": schema } },
            });
            if let Some(example) = example(self.id) {
                out["requestBody"]["content"]["application/json"]["example"] = example;
            }
        } else if self.method == "put" {
            out["requestBody"] = json!({
                "content": { "application/octet-stream": { "schema": { "type": "string" } } },
            });
        }
        let (status, answer) = match &self.answer {
            Answer::Json(status, of) => {
                let schema = of(generator);
                let content = json!({ "application/json": { "schema": schema } });
                (
                    *status,
                    json!({ "description": "Done.", "content": content }),
                )
            }
            Answer::Nothing(status) => (*status, json!({ "description": "Done." })),
            Answer::Body(kind) => {
                let content = json!({ *kind: { "schema": { "type": "string" } } });
                (
                    200,
                    json!({ "description": "The text or file.", "content": content }),
                )
            }
        };
        // The same answer under another status: joined, known, or another job.
        let also = match self.id {
            "submitJob" | "submitCampaign" => Some("200"),
            "amendJob" => Some("201"),
            "bisectChange" | "hookGithub" | "hookGitlab" | "hookForgejo" => Some("200"),
            _ => None,
        };
        if let Some(also) = also {
            out["responses"][also] = answer.clone();
        }
        if self.id == "lease" {
            out["responses"]["204"] = json!({ "description": "No work." });
        }
        out["responses"][status.to_string()] = answer;
        match self.access(table) {
            Some(Access::Open) => {}
            // Reading needs nothing unless the server says so.
            Some(Access::Read | Access::Fetch) => out["security"] = json!([{}, { "token": [] }]),
            _ => out["security"] = json!([{ "token": [] }]),
        }
        out
    }

    /// What the route asks of who calls it.
    pub fn access(&self, table: &[Route]) -> Option<Access> {
        let path = format!("{PREFIX}{}", self.path);
        let route = table.iter().find(|route| {
            route.path == path && route.method.as_str().eq_ignore_ascii_case(self.method)
        });
        route.map(|route| route.access)
    }

    fn parameters(&self) -> Vec<Value> {
        let numbered = [
            "/jobs",
            "/attempts",
            "/surveys",
            "/webhooks",
            "/rules",
            "/triggers",
            "/hooks",
            "/regressions",
        ];
        let in_path = self.path.split('/').filter_map(|part| {
            let name = part.strip_prefix('{')?.strip_suffix('}')?;
            let number = name == "id" && numbered.iter().any(|p| self.path.starts_with(p));
            let long = name == "id"
                && ["/workers", "/deliveries"]
                    .iter()
                    .any(|p| self.path.starts_with(p));
            let schema = match (number, long) {
                (true, _) => json!({ "type": "integer", "format": "int64" }),
                (_, true) => json!({ "type": "string", "format": "uuid" }),
                _ => json!({ "type": "string" }),
            };
            Some(json!({ "name": name, "in": "path", "required": true, "schema": schema }))
        });
        let in_query = self.query.iter().map(|(name, kind, required, about)| {
            let schema = match *kind {
                // None of them counts below nothing.
                "integer" => json!({ "type": kind, "format": "int64", "minimum": 0 }),
                _ => json!({ "type": kind }),
            };
            json!({
                "name": name, "in": "query", "required": required, "description": about, "schema": schema,
            })
        });
        let key = (self.id == "submitJob").then(|| {
            json!({
                "name": "Idempotency-Key", "in": "header", "required": false,
                "description": "1 to 255 characters of your own.",
                "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
            })
        });
        in_path.chain(in_query).chain(key).collect()
    }
}
