<?php
// A small program with SsoClient: one page for everybody, one for users, one for the role operator.
require getenv('SSO_CLIENT_FILE');

$origin = 'http://localhost:' . $_SERVER['SERVER_PORT'];
$sso = new SsoClient(array(
    'issuer' => getenv('ISSUER'),
    'client_id' => 'phpfile',
    'client_secret' => getenv('SECRET'),
    'redirect_uri' => "$origin/sso.php",
    'post_logout_redirect_uri' => "$origin/bye",
    'data_dir' => getenv('DATA') . '/sso',
    'scope' => 'openid profile email offline_access',
    'timeout' => 60,
    'recheck_seconds' => (int) getenv('RECHECK'),
    'local_door' => array('password_hash' => getenv('DOOR'), 'addresses' => array('127.0.0.1', '::1'), 'roles' => array('operator')),
));
session_save_path(getenv('DATA'));
if (isset($_GET['own'])) {
    session_start(); // as old programs do: an id of before is used again
}
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/sso.php':
        $sso->handle();
        break;
    case '/page':
        $user = $sso->requireLogin();
        echo '<p id="name">' . htmlspecialchars($user['name']) . '</p>' . $sso->logoutForm();
        break;
    case '/operator':
        $sso->requireRole('operator');
        echo 'operator';
        break;
    case '/token':
        echo $sso->accessToken() === null ? 'none' : 'valid';
        break;
    case '/bye':
        echo 'bye';
        break;
    default:
        echo $sso->user() === null ? 'nobody' : 'somebody';
}
