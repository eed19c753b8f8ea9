//! `sys/tools/*`: hashes and random bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::Digest;

use super::Ask;
use crate::core::{Core, Error, Operation, Request, Response, Result};
use crate::logical::route::{Field, Kind, Route, Verb};
use crate::runtime::Entropy;

const FORMAT: Field = Field::new("format", Kind::Text, "`hex` or `base64`, how the answer is written.");
const BYTES: Field = Field::new("bytes", Kind::Integer, "How many; default 32, at most 131072.");
const SOURCE: Field =
    Field::new("source", Kind::Text, "`platform`, `seal` or `all`; it is the platform's in any case.");
const COUNT: Field = Field::new("urlbytes", Kind::Text, "How many bytes; at most 131072.");
const HASH_VERBS: &[Verb] =
    &[Verb::new(Operation::Update, "Hashes the input.", &[Field::new("sum", Kind::Text, "The hash.")])];
const RANDOM_VERBS: &[Verb] = &[Verb::new(
    Operation::Update,
    "Draws random bytes.",
    &[Field::new("random_bytes", Kind::Text, "The bytes, as asked for.")],
)];
const HASHED: Field = Field::new("input", Kind::Text, "What to hash, in base64.");
const ALGORITHM: Field =
    Field::new("algorithm", Kind::Text, "sha2-224 to sha2-512 or sha3-224 to sha3-512; default sha2-256.");

/// The routes.
pub(super) static ROUTES: &[Route] = &[
    Route {
        pattern: "tools/hash",
        about: "The hash of an input.",
        verbs: HASH_VERBS,
        fields: &[HASHED, ALGORITHM, FORMAT],
    },
    Route {
        pattern: "tools/hash/{urlalgorithm}",
        about: "The hash of an input by the algorithm of the path.",
        verbs: HASH_VERBS,
        fields: &[Field::new("urlalgorithm", Kind::Text, "As `algorithm`."), HASHED, ALGORITHM, FORMAT],
    },
    Route { pattern: "tools/random", about: "Random bytes.", verbs: RANDOM_VERBS, fields: &[BYTES, SOURCE, FORMAT] },
    Route {
        pattern: "tools/random/{urlbytes}",
        about: "As many random bytes as the path says.",
        verbs: RANDOM_VERBS,
        fields: &[COUNT, BYTES, SOURCE, FORMAT],
    },
    Route {
        pattern: "tools/random/{source}/{urlbytes}",
        about: "As many random bytes as the path says.",
        verbs: RANDOM_VERBS,
        fields: &[SOURCE, COUNT, BYTES, FORMAT],
    },
];

/// Most bytes of one answer.
const RANDOM_MAX: i64 = 128 * 1024;

impl Core {
    /// Serves them.
    pub(super) async fn sys_tools(&self, ask: Ask<'_>) -> Result<Response> {
        match ask.route.pattern {
            "tools/hash" | "tools/hash/{urlalgorithm}" => hash(ask.request, ask.params.first().copied()),
            _ => random(ask.request, &ask.params, &self.runtime.entropy),
        }
    }
}

fn hash(request: &Request, in_path: Option<&str>) -> Result<Response> {
    let given = request.text("algorithm")?.filter(|name| !name.is_empty());
    let algorithm = in_path.map(String::from).or(given).unwrap_or_else(|| "sha2-256".into());
    let input = request.text("input")?.unwrap_or_default();
    let input = STANDARD.decode(input).map_err(|error| no_base64(&error))?;
    let format = format(request, "hex", |format| {
        format!("unsupported encoding format {format}; must be \"hex\" or \"base64\"")
    })?;
    let sum = match algorithm.as_str() {
        "sha2-224" => sha2::Sha224::digest(&input).to_vec(),
        "sha2-256" => sha2::Sha256::digest(&input).to_vec(),
        "sha2-384" => sha2::Sha384::digest(&input).to_vec(),
        "sha2-512" => sha2::Sha512::digest(&input).to_vec(),
        "sha3-224" => sha3::Sha3_224::digest(&input).to_vec(),
        "sha3-256" => sha3::Sha3_256::digest(&input).to_vec(),
        "sha3-384" => sha3::Sha3_384::digest(&input).to_vec(),
        "sha3-512" => sha3::Sha3_512::digest(&input).to_vec(),
        _ => return Err(Error::invalid(format!("unsupported algorithm {algorithm}"))),
    };
    Ok(Response::data(json!({ "sum": format(&sum) })))
}

/// In the words of the peer, which names the byte where the text goes wrong.
fn no_base64(error: &base64::DecodeError) -> Error {
    let at = match *error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
        base64::DecodeError::InvalidLength(length) => length / 4 * 4,
        base64::DecodeError::InvalidPadding => 0,
    };
    Error::invalid(format!("unable to decode input as base64: illegal base64 data at input byte {at}"))
}

fn random(request: &Request, in_path: &[&str], entropy: &Entropy) -> Result<Response> {
    let sources = ["platform", "seal", "all"];
    let (source, count) = match in_path {
        [] => (None, None),
        [source] if sources.contains(source) => (Some(*source), None),
        [count] => (None, Some(*count)),
        [source, count, ..] => (Some(*source), Some(*count)),
    };
    let bytes = match count {
        Some(count) => count.parse().map_err(|_| {
            let text = format!("error parsing url-set byte count: strconv.Atoi: parsing {count:?}: invalid syntax");
            Error::invalid(text)
        })?,
        None => request.integer("bytes")?.unwrap_or(32),
    };
    let format = format(request, "base64", |format| {
        format!("unsupported encoding format {format:?}; must be \"hex\" or \"base64\"")
    })?;
    match bytes {
        ..1 => return Err(Error::invalid("'bytes' cannot be less than 1")),
        1..=RANDOM_MAX => {}
        _ => return Err(Error::invalid(format!("'bytes' should be less than {RANDOM_MAX}"))),
    }
    if let Some(source) = source.filter(|source| !sources.contains(source)) {
        let text = format!("unsupported entropy source {source:?}; must be \"platform\" or \"seal\", or \"all\"");
        return Err(Error::invalid(text));
    }
    let mut drawn = vec![0; usize::try_from(bytes).unwrap_or(0)];
    entropy.fill(&mut drawn);
    let response = Response::data(json!({ "random_bytes": format(&drawn) }));
    Ok(match source {
        Some("seal") => response.warn("no seal/entropy augmentation available, using platform entropy source"),
        _ => response,
    })
}

/// How the answer is to be written; the empty text is no format.
fn format(request: &Request, default: &str, unknown: impl Fn(&str) -> String) -> Result<fn(&[u8]) -> String> {
    let format = request.text("format")?;
    match format.as_deref().unwrap_or(default) {
        "hex" => Ok(|bytes| hex::encode(bytes)),
        "base64" => Ok(|bytes| STANDARD.encode(bytes)),
        other => Err(Error::invalid(unknown(other))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn request(data: Value) -> Request {
        let data = data.as_object().cloned().unwrap_or_default();
        Request { data, ..super::super::tests::request("sys/tools") }
    }

    #[test]
    fn hashes_as_the_peer() {
        let sum = |algorithm: &str| {
            let response = hash(&request(json!({ "input": "aGVsbG8=" })), Some(algorithm)).expect("a hash");
            response.data.expect("data")["sum"].as_str().expect("a sum").to_string()
        };
        for (algorithm, begins, length) in [
            ("sha2-224", "ea09ae9cc6768c50", 56),
            ("sha2-256", "2cf24dba5fb0a30e", 64),
            ("sha2-384", "59e1748777448c69", 96),
            ("sha2-512", "9b71d224bd62f378", 128),
            ("sha3-224", "b87f88c72702fff1", 56),
            ("sha3-256", "3338be694f50c5f3", 64),
            ("sha3-384", "720aea11019ef064", 96),
            ("sha3-512", "75d527c368f2efe8", 128),
        ] {
            let sum = sum(algorithm);
            assert!(sum.starts_with(begins) && sum.len() == length, "{algorithm}: {sum}");
        }
        let refused = |data| hash(&request(data), None).expect_err("an error").to_string();
        assert_eq!(refused(json!({ "algorithm": "md5" })), "unsupported algorithm md5");
        assert!(refused(json!({ "input": "a" })).starts_with("unable to decode input as base64"));
        assert!(refused(json!({ "format": "foo" })).starts_with("unsupported encoding format foo"));
        assert!(hash(&request(json!({})), None).is_ok());
    }

    const UNKNOWN_SOURCE: &str =
        "unsupported entropy source \"nonsense\"; must be \"platform\" or \"seal\", or \"all\"";

    #[test]
    fn random_bytes_are_counted() {
        let entropy = Entropy::seeded_u64(1);
        let drawn = |path: &[&str], data: Value| match random(&request(data), path, &entropy) {
            Ok(response) => {
                let text = response.data.expect("data")["random_bytes"].as_str().expect("bytes").to_string();
                format!("{} {}", text.len(), response.warnings.len())
            }
            Err(error) => error.to_string(),
        };
        for (path, data, expected) in [
            (&[][..], json!({}), "44 0"),
            (&["16"], json!({ "format": "hex" }), "32 0"),
            (&["platform"], json!({ "format": "hex", "bytes": 4 }), "8 0"),
            (&["seal", "16"], json!({ "format": "hex" }), "32 1"),
            (&["nonsense", "8"], json!({}), UNKNOWN_SOURCE),
            (&["8"], json!({ "format": "" }), "unsupported encoding format \"\"; must be \"hex\" or \"base64\""),
            (&["0"], json!({}), "'bytes' cannot be less than 1"),
            (&["200000"], json!({}), "'bytes' should be less than 131072"),
            (&["16", "x"], json!({}), "error parsing url-set byte count: strconv.Atoi: parsing \"x\": invalid syntax"),
            (&["8"], json!({ "format": "x" }), "unsupported encoding format \"x\"; must be \"hex\" or \"base64\""),
        ] {
            assert_eq!(drawn(path, data), expected, "{path:?}");
        }
    }
}
