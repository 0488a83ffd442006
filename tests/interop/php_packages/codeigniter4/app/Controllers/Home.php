<?php

namespace App\Controllers;

class Home extends \CodeIgniter\Controller
{
    public function index(): string
    {
        $sso = service('sso');
        $user = $sso->user();
        return $user === null ? 'Belum masuk: /login' : '<p>Halo, ' . htmlspecialchars($user['name']) . '</p>' . $sso->logoutForm('Keluar');
    }

    public function login()
    {
        return redirect()->to(service('sso')->loginUrl('/'), 303);
    }

    public function page(): string
    {
        return 'Pengguna: ' . htmlspecialchars(service('sso')->user()['name']);
    }
}
