//! What can be done with the extensions of an instance, and what is heard of it. Front and instance exchange these words; the
//! instance's are its tenant's, so nothing of them is believed by anybody but that tenant.

use serde::{Deserialize, Serialize};

use super::{AbsolutePath, ExtensionId, ExtensionSpec};

/// One job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum ExtensionJob {
    /// Say what is installed.
    List {
        /// Whether the room it takes on the disk is counted as well.
        sizes: bool,
    },
    /// Install from the gallery, or from a directory of VSIX files.
    Install {
        /// What.
        spec: ExtensionSpec,
        /// The directory; none means the gallery that the engine knows.
        from: Option<AbsolutePath>,
    },
    /// Install the VSIX that follows: pieces of a length (four bytes, the first is the highest) and as many bytes; a length of
    /// zero ends it. Without that end it was cut off and is thrown away.
    InstallFile,
    /// Install what has not been installed in this way before: who has removed one since does not get it again.
    Preinstall {
        /// What.
        specs: Vec<ExtensionSpec>,
        /// As with [`Self::Install`].
        from: Option<AbsolutePath>,
    },
    /// Remove.
    Remove {
        /// What.
        id: ExtensionId,
    },
}

/// What is heard of a job, a line of JSON each. The last one is an end: [`Self::Listed`], [`Self::Done`] or [`Self::Failed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum ExtensionNews {
    /// The engine said this.
    Line {
        /// One line.
        text: String,
    },
    /// What is installed.
    Listed {
        /// In the order of their ids, built-in ones last.
        extensions: Vec<InstalledExtension>,
    },
    /// It worked.
    Done {
        /// Of what; none when nobody can tell.
        id: Option<String>,
        /// The version that is there now.
        version: Option<String>,
    },
    /// It did not work.
    Failed {
        /// Why, in short.
        reason: FailureReason,
        /// Why, in words.
        message: String,
    },
}

/// Why a job failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// No gallery has it, or it is not installed.
    NotFound,
    /// It is no extension, or none for this editor.
    Unusable,
    /// It belongs to the editor and stays.
    BuiltIn,
    /// Anything else.
    Other,
}

/// An extension of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledExtension {
    /// Its name.
    pub id: ExtensionId,
    /// Its version.
    pub version: String,
    /// What people call it.
    pub display_name: String,
    /// Whether it came with the editor.
    pub built_in: bool,
    /// The bytes of its files; none when nobody counted.
    pub size: Option<u64>,
    /// What it cannot do without, and what it brings along.
    pub needs: Vec<String>,
    /// What of it can be looked at.
    pub view: ExtensionView,
    /// The display languages it brings, lower case.
    pub languages: Vec<String>,
}

/// What of an extension can be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExtensionView {
    /// A view in a place at the side.
    Side {
        /// Its id.
        view: String,
        /// The id of the place: the extension's own or one of the editor's.
        container: String,
    },
    /// A view in a place at the bottom.
    Panel {
        /// Its id.
        view: String,
        /// The id of the place.
        container: String,
    },
    /// An editor for some files.
    CustomEditor {
        /// Its id.
        editor: String,
        /// Patterns of file names.
        patterns: Vec<String>,
    },
    /// A command that most likely opens something.
    Command {
        /// Its id.
        command: String,
    },
    /// Several commands, none of which stands out.
    Commands {
        /// What to look for to find them.
        search: String,
    },
    /// Nothing.
    #[default]
    None,
}

/// The most bytes of a text that is told of an extension. What is longer is none that anybody reads, and no name that the editor knows.
pub const MAX_EXTENSION_TEXT: usize = 1 << 10;

impl InstalledExtension {
    /// Whether each of its texts is one that is told.
    pub fn fits(&self) -> bool {
        let names = self.needs.iter().chain(&self.languages);
        let longest = [&self.version, &self.display_name].into_iter().chain(names).map(String::len).max();
        longest.max(Some(self.view.bytes())) <= Some(MAX_EXTENSION_TEXT)
    }
}

impl ExtensionView {
    /// The bytes of its texts.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Side { view, container } | Self::Panel { view, container } => view.len() + container.len(),
            Self::CustomEditor { editor, patterns } => editor.len() + patterns.iter().map(String::len).sum::<usize>(),
            Self::Command { command } => command.len(),
            Self::Commands { search } => search.len(),
            Self::None => 0,
        }
    }
}
