//! Where things are inside an instance: the broker mounts them, the agent and the engine use them.

/// The tenant's home, as the tenant sees it.
pub const HOME: &str = "/home/user";

/// Where user data, extensions and the server's own things are, below the home.
pub const DATA: &str = ".hoody-code";

/// The tenant's runtime directory: in memory, its own, gone with the instance.
pub const RUNTIME: &str = "/run/user";

/// The engine's socket in it.
pub const SOCKET: &str = "/run/user/vscode.sock";

/// Settings, state and logs of the editor.
pub const USER_DATA: &str = "/home/user/.hoody-code/user-data";

/// Extensions of the editor.
pub const EXTENSIONS: &str = "/home/user/.hoody-code/extensions";
