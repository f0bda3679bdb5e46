//! What the login says, in the languages that VS Code has packs for.

use http::header::{self, HeaderMap};

/// The words of one language.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Words {
    /// Its tag, as `lang` in HTML wants it.
    pub(in super::super) lang: &'static str,
    pub(in super::super) sign_in: &'static str,
    pub(in super::super) sign_out: &'static str,
    pub(in super::super) password: &'static str,
    pub(in super::super) wrong: &'static str,
    /// `{}` is a number of seconds.
    pub(in super::super) wait: &'static str,
    pub(in super::super) too_long: &'static str,
}

macro_rules! words {
    ($lang:literal, $sign_in:literal, $sign_out:literal, $password:literal, $wrong:literal, $wait:literal, $too_long:literal) => {
        Words { lang: $lang, sign_in: $sign_in, sign_out: $sign_out, password: $password, wrong: $wrong, wait: $wait, too_long: $too_long }
    };
}

/// English first: it is what everybody else gets.
#[rustfmt::skip]
const ALL: [Words; 17] = [
    words!("en", "Sign in", "Sign out", "Password", "That password is not right.", "Too many attempts. Try again in {} s.", "A password has at most 1024 bytes."),
    words!("fr", "Se connecter", "Se déconnecter", "Mot de passe", "Ce mot de passe n’est pas le bon.", "Trop de tentatives. Réessayez dans {} s.", "Un mot de passe compte au plus 1024 octets."),
    words!("de", "Anmelden", "Abmelden", "Passwort", "Dieses Passwort stimmt nicht.", "Zu viele Versuche. In {} s noch einmal versuchen.", "Ein Passwort hat höchstens 1024 Bytes."),
    words!("es", "Iniciar sesión", "Cerrar sesión", "Contraseña", "La contraseña no es correcta.", "Demasiados intentos. Vuelva a intentarlo en {} s.", "Una contraseña tiene como máximo 1024 bytes."),
    words!("it", "Accedi", "Esci", "Password", "La password non è corretta.", "Troppi tentativi. Riprova tra {} s.", "Una password ha al massimo 1024 byte."),
    words!("pt-BR", "Entrar", "Sair", "Senha", "A senha não está correta.", "Tentativas demais. Tente novamente em {} s.", "Uma senha tem no máximo 1024 bytes."),
    words!("ja", "サインイン", "サインアウト", "パスワード", "パスワードが正しくありません。", "試行回数が多すぎます。{} 秒後にもう一度お試しください。", "パスワードは 1024 バイト以内です。"),
    words!("ko", "로그인", "로그아웃", "암호", "암호가 올바르지 않습니다.", "시도 횟수가 너무 많습니다. {}초 후에 다시 시도하세요.", "암호는 최대 1024바이트입니다."),
    words!("zh-Hans", "登录", "退出登录", "密码", "密码不正确。", "尝试次数过多。请在 {} 秒后重试。", "密码最多 1024 字节。"),
    words!("zh-Hant", "登入", "登出", "密碼", "密碼不正確。", "嘗試次數過多。請在 {} 秒後再試一次。", "密碼最多 1024 位元組。"),
    words!("ru", "Войти", "Выйти", "Пароль", "Неверный пароль.", "Слишком много попыток. Повторите через {} с.", "Пароль — не более 1024 байт."),
    words!("pl", "Zaloguj się", "Wyloguj się", "Hasło", "Hasło jest nieprawidłowe.", "Zbyt wiele prób. Spróbuj ponownie za {} s.", "Hasło ma najwyżej 1024 bajty."),
    words!("cs", "Přihlásit se", "Odhlásit se", "Heslo", "Heslo není správné.", "Příliš mnoho pokusů. Zkuste to znovu za {} s.", "Heslo má nejvýše 1024 bajtů."),
    words!("tr", "Oturum aç", "Oturumu kapat", "Parola", "Parola doğru değil.", "Çok fazla deneme. {} sn sonra yeniden deneyin.", "Parola en çok 1024 bayttır."),
    words!("hu", "Bejelentkezés", "Kijelentkezés", "Jelszó", "A jelszó nem megfelelő.", "Túl sok próbálkozás. Próbálja újra {} mp múlva.", "A jelszó legfeljebb 1024 bájt."),
    words!("bg", "Вход", "Изход", "Парола", "Паролата не е вярна.", "Твърде много опити. Опитайте отново след {} с.", "Паролата е най-много 1024 байта."),
    words!("uk", "Увійти", "Вийти", "Пароль", "Неправильний пароль.", "Забагато спроб. Повторіть через {} с.", "Пароль — не більше 1024 байтів."),
];

/// The words for who asked for `locale`, or else for what the browser's user reads (`Accept-Language`, RFC 9110, section 12.5.4).
pub(in super::super) fn choose(locale: Option<&str>, headers: &HeaderMap) -> &'static Words {
    if let Some(words) = locale.and_then(of) {
        return words;
    }
    let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut best: Option<(f32, &'static Words)> = None;
    for item in accepted.split(',').take(32) {
        let (tag, quality) = item.split_once(';').unwrap_or((item, "q=1"));
        let quality = quality.trim().strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
        if let Some(words) = of(tag.trim())
            && quality > best.map_or(0.0, |(known, _)| known)
        {
            best = Some((quality, words));
        }
    }
    best.map_or(&ALL[0], |(_, words)| words)
}

/// The words for a tag, if there are any: the region says which Chinese it is, and nothing elsewhere.
fn of(tag: &str) -> Option<&'static Words> {
    let lower = tag.to_ascii_lowercase();
    let primary = lower.split('-').next().unwrap_or_default();
    let wanted = match primary {
        "zh" if ["hant", "tw", "hk", "mo"].iter().any(|part| lower.split('-').any(|own| own == *part)) => "zh-Hant",
        "zh" => "zh-Hans",
        "pt" => "pt-BR",
        other => other,
    };
    ALL.iter().find(|words| words.lang.eq_ignore_ascii_case(wanted))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn languages() {
        let lang = |locale: Option<&str>, accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, accept.parse().unwrap());
            choose(locale, &headers).lang
        };
        assert_eq!(lang(None, ""), "en");
        assert_eq!(lang(None, "fr-CH, fr;q=0.9, en;q=0.8"), "fr");
        assert_eq!(lang(None, "xx, en;q=0.4, de;q=0.8"), "de");
        assert_eq!(lang(None, "en-GB,ja;q=0.9"), "en");
        assert_eq!(lang(None, "ja;q=0, *;q=0.1"), "en");
        assert_eq!(lang(Some("zh-cn"), "fr"), "zh-Hans");
        assert_eq!(lang(Some("zh-tw"), "fr"), "zh-Hant");
        assert_eq!(lang(Some("zh-hant-hk"), "fr"), "zh-Hant");
        assert_eq!(lang(Some("pt"), "fr"), "pt-BR");
        assert_eq!(lang(Some("tlh"), "es"), "es", "no words for Klingon");
        assert_eq!(lang(None, "q=;;;,,-,;q=nan"), "en");
    }

    #[test]
    fn all_are_complete() {
        for words in &ALL {
            assert_eq!(words.wait.matches("{}").count(), 1, "{}", words.lang);
            assert!(words.too_long.contains("1024"), "{}", words.lang);
            assert_eq!(of(words.lang), Some(words));
        }
    }
}
