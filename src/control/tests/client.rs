//! The client against servers that are not what they should be.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;

/// Somebody at the socket who answers every question with the same bytes, and hangs up or does not.
fn impostor(answer: Vec<u8>, endless: bool, hangs_up: bool) -> (tempfile::TempDir, Paths) {
    let (folder, paths) = folders();
    paths.prepare().unwrap();
    let listener = UnixListener::bind(paths.control()).unwrap();
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let answer = answer.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 512]).await;
                while stream.write_all(&answer).await.is_ok() && endless {}
                if !hangs_up {
                    tokio::time::sleep(Duration::from_mins(1)).await;
                }
            });
        }
    });
    (folder, paths)
}

async fn asked(paths: &Paths) -> ControlError {
    soon(Client::connect_to(paths).await.unwrap().status()).await.unwrap_err()
}

#[tokio::test]
async fn garbage_is_an_error() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\n"[..],
        b"{}\n",
        b"{\"v\":1}\n",
        b"{\"v\":9,\"ok\":null}\n",
        b"{\"v\":1,\"ok\":\"closed\"}\n",
        b"{\"v\":1,\"ok\":{\"schema\":1}}\n",
        b"\xff\xfe\n",
        b"\n",
    ] {
        let (_folder, paths) = impostor(answer.to_vec(), false, true);
        let error = asked(&paths).await;
        assert!(matches!(error, ControlError::Garbled(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_line_without_end_is_an_error() {
    let (_folder, paths) = impostor(vec![b'x'; 65536], true, true);
    assert!(matches!(asked(&paths).await, ControlError::Garbled(_)));
}

#[tokio::test]
async fn half_a_line_and_hanging_up_are_errors() {
    let (_folder, paths) = impostor(b"{\"v\":1,\"ok\":".to_vec(), false, true);
    assert!(matches!(asked(&paths).await, ControlError::Garbled(_)));
    let (_folder, paths) = impostor(Vec::new(), false, true);
    assert!(matches!(asked(&paths).await, ControlError::Closed));
}

#[tokio::test]
async fn silence_and_nothing_but_signs_of_life_are_errors_after_a_while() {
    let (_folder, silent) = impostor(Vec::new(), false, false);
    let (_folder, alive) = impostor(b"{\"v\":1,\"alive\":true}\n".to_vec(), true, false);
    let (silent, alive) = tokio::join!(asked(&silent), asked(&alive));
    assert!(matches!(silent, ControlError::Silent), "{silent:?}");
    assert!(matches!(alive, ControlError::Silent), "{alive:?}");
}

#[tokio::test]
async fn where_nobody_listens_there_is_no_daemon() {
    let (_folder, paths) = folders();
    let absent = |result| matches!(result, Err(ControlError::NoDaemon(_)));
    assert!(absent(Client::connect(&paths).await), "no folder");
    paths.prepare().unwrap();
    assert!(absent(Client::connect(&paths).await), "no socket");
    drop(UnixListener::bind(paths.control()).unwrap());
    assert!(absent(Client::connect(&paths).await), "nobody at the socket");
}

#[tokio::test]
async fn somebody_elses_socket_in_the_folder_is_not_taken_for_the_daemon() {
    if !nix::unistd::Uid::effective().is_root() {
        return left_out("only root can let another user listen");
    }
    let (folder, paths) = folders();
    paths.prepare().unwrap();
    for open in [folder.path(), &paths.state, &paths.runtime] {
        std::fs::set_permissions(open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let script = "import socket,sys,time; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); \
                  print('up',flush=True); time.sleep(30)";
    let mut command = tokio::process::Command::new("python3");
    command.arg("-c").arg(script).arg(paths.control()).uid(4001).gid(4001);
    command.stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let Ok(mut other) = command.spawn() else {
        return left_out("there is no python3");
    };
    soon(other.stdout.take().unwrap().read(&mut [0; 8])).await.unwrap();
    let refused = Client::connect_to(&paths).await;
    assert!(matches!(refused, Err(ControlError::Impostor { uid: 4001, .. })), "{refused:?}");
}

#[tokio::test]
async fn a_client_that_waits_for_a_person_asks_over_a_new_connection() {
    let mut fake = Fake::start();
    let client = fake.client().await;
    tokio::time::sleep(Duration::from_millis(5500)).await;
    let (told, _) = tokio::join!(client.ask(Ask::Close), fake.reply(Reply::Done));
    assert_eq!(told.unwrap(), Reply::Done);
}
