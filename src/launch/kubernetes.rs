//! Manifests for Kubernetes: a ConfigMap with the scenario, a Job of the coordinator, an Indexed Job of the workers.
//!
//! In: a run to launch. Out: YAML in several documents, for `kubectl apply -f`. The contract between them: the scenario's folder is `/scenario`, reports go below
//! `/reports`, what lets the pods in at NATS is below `/nats`.

use std::collections::BTreeSet;

use minijinja::{Value, context};

use super::address::Way;
use super::contents::Contents;
use super::error::LaunchError;
use super::names::{check_namespace, check_object, check_word, label_of};
use super::needs::{Launch, Needs};
use super::text::{Form, plain, yaml_block, yaml_quoted};

const FORM: Form = Form { template: include_str!("kubernetes.yaml"), quoted: yaml_quoted };
/// Where NATS is where its Helm chart has put it (release `nats`), in this namespace.
const USUAL_NATS: &str = "tls://nats:4222";
const USUAL_NATS_INSECURE: &str = "nats://nats:4222";
/// The key of a Secret with credentials for NATS.
const CREDS_KEY: &str = "nats.creds";
/// The key of a Secret with an authority that vouches for NATS: cert-manager's.
const CA_KEY: &str = "ca.crt";
/// What a ConfigMap holds at most, with some room for its names.
const MOST_BYTES: usize = 1_000_000;
/// How long finished jobs are kept.
const KEPT_S: u32 = 24 * 60 * 60;

/// How a run is launched on Kubernetes.
#[derive(Debug)]
pub struct KubernetesLaunch {
    /// The run.
    pub launch: Launch,
    /// The image that holds `resurge`.
    pub image: String,
    /// The namespace; `None`: kubectl's own.
    pub namespace: Option<String>,
    /// The Secret with the scenario's variables.
    pub secret: String,
    /// The Secret with the files that the scenario names and that may hold secrets.
    pub files_secret: Option<String>,
    /// The Secret with credentials for NATS.
    pub creds_secret: Option<String>,
    /// The Secret with the authority that vouches for NATS.
    pub ca_secret: Option<String>,
    /// The claim of the volume for the run folder.
    pub reports_claim: Option<String>,
}

/// The manifests.
///
/// # Errors
/// [`LaunchError`]: something cannot be so, or a secret would stand in them.
pub fn kubernetes_manifests(order: &KubernetesLaunch) -> Result<String, LaunchError> {
    let address = order.check()?;
    let (launch, contents) = (&order.launch, &order.launch.contents);
    let instance = label_of(&launch.run.to_string()).ok_or_else(|| LaunchError::Name {
        option: "--run",
        text: launch.run.to_string(),
        allowed: "names in Kubernetes are made of it, which need a letter or a digit",
    })?;
    let needs = launch.needs()?;
    let name = format!("resurge-{instance}");
    let key = format!("{}.toml", contents.stem());
    let namespace = order.namespace.as_deref();
    let (public, secret) = (files(contents, &contents.public_files)?, keys(&contents.secret_files));
    let roles = [order.coordinator(&address, &key), order.worker(&address, &needs)];
    let values = context! {
        path => contents.path.display().to_string(),
        run => plain(launch.run.to_string()),
        version => plain(env!("CARGO_PKG_VERSION")),
        workers => launch.workers,
        name => plain(name),
        instance => instance,
        in_namespace => plain(namespace.map(|name| format!("-n {name} ")).unwrap_or_default()),
        namespace => plain(namespace.map(|name| format!("  namespace: {}", yaml_quoted(name))).unwrap_or_default()),
        claim => order.reports_claim.as_deref(),
        variables => contents.variables.iter().map(plain).collect::<Vec<_>>(),
        secret => order.secret.as_str(),
        is_copy => contents.is_copy,
        descriptors => needs.descriptors,
        has_many_ports => needs.has_many_ports,
        scenario_key => key,
        text => plain(yaml_block(&contents.text, 2)),
        public_files => public,
        secret_files => secret,
        files_secret => order.files_secret.as_deref(),
        roles => roles,
        deadline_s => launch.times().whole_s(),
        ttl_s => KEPT_S,
        image => order.image.as_str(),
        nats_secrets => order.nats_secrets(),
    };
    let text = FORM.render(values)?;
    // A line is left empty where no namespace is named.
    Ok(text.replace("\n\n  labels:", "\n  labels:"))
}

/// The files with their keys and texts.
fn files(contents: &Contents, names: &BTreeSet<String>) -> Result<Vec<Value>, LaunchError> {
    let mut bytes = contents.text.len();
    let mut files = Vec::new();
    for (name, key) in names.iter().zip(keys_of(names)) {
        let text = contents.read(name)?;
        bytes += text.len();
        files.push(context! { key, path => name, text => plain(yaml_block(&text, 2)) });
    }
    if bytes > MOST_BYTES {
        return Err(LaunchError::TooLarge { bytes, most: MOST_BYTES });
    }
    Ok(files)
}

/// The files with their keys.
fn keys(names: &BTreeSet<String>) -> Vec<Value> {
    names.iter().zip(keys_of(names)).map(|(name, key)| context! { key, path => name }).collect()
}

/// A key for each file, as ConfigMaps and Secrets have them: `_` for what no key can have, and more of it where another file has that key.
fn keys_of(names: &BTreeSet<String>) -> Vec<String> {
    let is_one = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '.');
    let mut keys: Vec<String> = Vec::new();
    for name in names {
        let mut key: String = name.chars().map(|one| if is_one(one) { one } else { '_' }).collect();
        if key.starts_with("..") {
            key.insert(0, '_');
        }
        while keys.contains(&key) {
            key.push('_');
        }
        keys.push(key);
    }
    keys
}

/// A text of a container's command or environment in which nothing stands for a variable: Kubernetes fills `$(NAME)` there, and reads `$$` as `$`.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// Whether a pod can have a file of that name below the scenario's folder.
fn is_below(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('/') && name.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

impl KubernetesLaunch {
    /// Refuses what cannot be; answers with the address of NATS.
    fn check(&self) -> Result<String, LaunchError> {
        let (launch, contents) = (&self.launch, &self.launch.contents);
        if contents.is_secret_set {
            return Err(LaunchError::SecretInOverride);
        }
        launch.check_commands()?;
        self.check_names()?;
        let named = contents.public_files.iter().chain(&contents.secret_files);
        let elsewhere = named.filter(|name| !is_below(name)).chain(&contents.local_files);
        let files: Vec<String> = elsewhere.cloned().collect();
        if !files.is_empty() {
            return Err(LaunchError::FilesElsewhere { files });
        }
        if !contents.secret_files.is_empty() && self.files_secret.is_none() {
            let files = contents.secret_files.iter().cloned().collect();
            return Err(LaunchError::SecretFiles { files });
        }
        let usual = if launch.nats_insecure { USUAL_NATS_INSECURE } else { USUAL_NATS };
        let address = launch.nats.clone().unwrap_or_else(|| usual.to_owned());
        let way = Way {
            address: &address,
            has_credentials: self.creds_secret.is_some(),
            is_insecure: launch.nats_insecure,
            credentials: "--nats-creds-secret",
            instead: "put credentials into a Secret, and name it with --nats-creds-secret",
        };
        way.check()?;
        Ok(address)
    }

    fn check_names(&self) -> Result<(), LaunchError> {
        check_word("--image", &self.image, "/:@._-", "an image has letters, digits and `/:@._-`")?;
        if let Some(name) = &self.namespace {
            check_namespace("--namespace", name)?;
        }
        let objects = [
            ("--secret", Some(&self.secret)),
            ("--files-secret", self.files_secret.as_ref()),
            ("--nats-creds-secret", self.creds_secret.as_ref()),
            ("--nats-ca-secret", self.ca_secret.as_ref()),
            ("--reports-claim", self.reports_claim.as_ref()),
        ];
        objects
            .into_iter()
            .try_for_each(|(option, name)| name.map_or(Ok(()), |name| check_object(option, name)))
    }

    /// The Secrets by which pods are let in at NATS.
    fn nats_secrets(&self) -> Vec<Value> {
        let both = [(&self.creds_secret, CREDS_KEY), (&self.ca_secret, CA_KEY)];
        both.iter()
            .filter_map(|(name, key)| Some(context! { name => (*name).clone()?, key => *key }))
            .collect()
    }

    /// How NATS lets pods in, as options.
    fn nats_options(&self) -> Vec<String> {
        let creds = self.creds_secret.iter().map(|_| format!("--nats-creds=/nats/{CREDS_KEY}"));
        let authority = self.ca_secret.iter().map(|_| format!("--nats-ca=/nats/{CA_KEY}"));
        let insecure = self.launch.nats_insecure.then(|| "--nats-insecure".to_owned());
        creds.chain(authority).chain(insecure).collect()
    }

    /// The scenario's variables, each from the Secret.
    fn variables(&self) -> impl Iterator<Item = Value> {
        let variables = self.launch.contents.variables.iter();
        variables.map(|name| context! { name, secret => self.secret.as_str(), value => () })
    }

    fn coordinator(&self, address: &str, key: &str) -> Value {
        let launch = &self.launch;
        let mut args = vec!["run".to_owned(), format!("/scenario/{key}"), format!("--cluster={address}")];
        args.extend([format!("--run={}", launch.run), format!("--out=/reports/{}", launch.run)]);
        args.extend(launch.coordinator_options());
        args.extend(self.nats_options());
        let env: Vec<Value> =
            if launch.contents.is_read_by_coordinator { self.variables().collect() } else { Vec::new() };
        context! {
            word => plain("coordinator"),
            is_worker => false,
            pods => 1,
            end_s => launch.times().coordinator_end_s(),
            args => args.iter().map(|arg| literal(arg)).collect::<Vec<_>>(),
            env,
            processors => plain("500m"),
            memory => plain(format!("{}Mi", launch.coordinator_mib())),
        }
    }

    fn worker(&self, address: &str, needs: &Needs) -> Value {
        let launch = &self.launch;
        let mut args = vec!["worker".to_owned(), "--out=/reports/share".to_owned()];
        args.extend(launch.worker_options());
        args.extend(self.nats_options());
        let run = launch.run.to_string();
        let told = [("RESURGE_CLUSTER", address), ("RESURGE_RUN", &run)];
        let told = told.map(|(name, value)| context! { name, value => literal(value), secret => () });
        let env: Vec<Value> = told.into_iter().chain(self.variables()).collect();
        context! {
            word => plain("worker"),
            is_worker => true,
            pods => launch.workers,
            end_s => launch.times().worker_end_s(),
            args => args.iter().map(|arg| literal(arg)).collect::<Vec<_>>(),
            env,
            processors => plain(format!("\"{}\"", needs.processors)),
            memory => plain(format!("{}Mi", needs.memory_mib)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::needs::tests::launch;
    use super::*;
    use crate::exit_code::ExitCode;

    fn order(more: &str) -> KubernetesLaunch {
        KubernetesLaunch {
            launch: launch(more, 3),
            image: "registry.example.com/resurge:0.1.0".to_owned(),
            namespace: Some("123".to_owned()),
            secret: "resurge-secrets".to_owned(),
            files_secret: None,
            creds_secret: Some("nats-creds".to_owned()),
            ca_secret: None,
            reports_claim: None,
        }
    }

    #[test]
    fn a_workers_pod_has_what_it_needs_and_no_more() {
        let text = kubernetes_manifests(&order("")).unwrap();
        assert!(
            text.contains("\n  name: resurge-nightly-7-worker\n  namespace: \"123\"\n  labels:"),
            "{text}"
        );
        let (before, container) = text.rsplit_once("          args:\n").unwrap();
        let (container, _) = container.split_once("          resources:").unwrap();
        insta::assert_snapshot!(container, @r#"
          - "worker"
          - "--out=/reports/share"
          - "--wait=5m"
          - "--authorize=api.example.com"
          - "--nats-creds=/nats/nats.creds"
        # Files that the scenario names are looked for from here on.
        workingDir: /scenario
        env:
          - name: "RESURGE_CLUSTER"
            value: "tls://nats:4222"
          - name: "RESURGE_RUN"
            value: "Nightly_7"
          - name: "SECRET"
            valueFrom:
              secretKeyRef:
                name: "resurge-secrets"
                key: "SECRET"
        "#);
        assert!(!before.contains("secretKeyRef"), "the coordinator needs no secret");
        assert!(before.contains("- \"--run=Nightly_7\"\n"), "the run keeps its name");
    }

    #[test]
    fn plain_text_is_the_users_word() {
        let with = |nats: Option<&str>, creds: bool, nats_insecure: bool| {
            let usual = order("");
            let creds_secret = usual.creds_secret.clone().filter(|_| creds);
            let launch = Launch { nats: nats.map(str::to_owned), nats_insecure, ..usual.launch };
            kubernetes_manifests(&KubernetesLaunch { launch, creds_secret, ..usual })
        };
        assert!(with(None, true, false).unwrap().contains("--cluster=tls://nats:4222"));
        let insecure = with(None, false, true).unwrap();
        assert!(
            insecure.contains("--cluster=nats://nats:4222")
                && insecure.matches("--nats-insecure\"").count() == 2
        );
        let plain = Some("nats://nats:4222");
        let (encrypt, user) = ("Use --nats tls://HOST:4222, or", "Give --nats-creds-secret");
        let both = "Use --nats tls://HOST:4222 and --nats-creds-secret";
        for (nats, creds, wanted) in [(plain, true, encrypt), (None, false, user), (plain, false, both)] {
            let error = with(nats, creds, false).unwrap_err();
            assert_eq!(error.exit_code(), ExitCode::NotAuthorised);
            assert!(error.to_string().contains(wanted), "{error}");
        }
        let error = with(Some("tls://me:hush@nats"), false, true).unwrap_err();
        assert!(error.exit_code() == ExitCode::Usage && !error.to_string().contains("hush"), "{error}");
    }

    #[test]
    fn names_that_kubernetes_refuses_are_refused_here() {
        let refused = |change: fn(&mut KubernetesLaunch)| {
            let mut order = order("");
            change(&mut order);
            kubernetes_manifests(&order).unwrap_err().to_string()
        };
        assert!(refused(|order| order.namespace = Some("A".to_owned())).contains("--namespace A"));
        assert!(refused(|order| order.image = "x y".to_owned()).contains("--image x y"));
        assert!(refused(|order| order.secret = "a_b".to_owned()).contains("--secret a_b"));
        assert!(refused(|order| order.launch.run = "___".parse().unwrap()).contains("--run ___"));
    }

    #[test]
    fn files_are_told_or_refused_by_name() {
        let refused = |file: &str| {
            let mut order = order("");
            order.launch.contents.secret_files = BTreeSet::from([file.to_owned()]);
            kubernetes_manifests(&order).unwrap_err().to_string()
        };
        assert!(refused("rows.csv").contains("rows.csv, which may hold secrets"));
        assert!(refused("/etc/rows.csv").contains("names /etc/rows.csv: a pod has only"));
        assert!(refused("../rows.csv").contains("names ../rows.csv: a pod has only"));
        let mut order = order("");
        order.files_secret = Some("rows".to_owned());
        order.launch.contents.secret_files = BTreeSet::from(["of/rows.csv".to_owned()]);
        let text = kubernetes_manifests(&order).unwrap();
        assert!(
            text.contains("- key: \"of_rows.csv\"\n                      path: \"of/rows.csv\"\n"),
            "{text}"
        );
    }
}
