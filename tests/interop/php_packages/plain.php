<?php
// A program of plain PHP with the package.
require getenv('SSO_PACKAGE') . '/src/autoload.php'; // with Composer: vendor/autoload.php

session_save_path(getenv('SESSIONS'));
$sso = Sso\Environment::client(['data_dir' => getenv('DATA') . '/sso']);
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/callback':
        $sso->handle();
        break;
    case '/login':
        header('Location: ' . $sso->loginUrl('/'), true, 303);
        break;
    case '/loket':
        echo 'Pengguna: ' . htmlspecialchars($sso->requireLogin()['name']);
        break;
    case '/operator':
        echo 'Petugas: ' . htmlspecialchars($sso->requireRole('operator')['name']);
        break;
    default:
        $user = $sso->user();
        echo $user === null ? 'Belum masuk: /login' : '<p>Halo, ' . htmlspecialchars($user['name']) . '</p>' . $sso->logoutForm('Keluar');
}
