<?php
class Beranda extends CI_Controller
{
    public function index()
    {
        $this->load->library('sso');
        $user = $this->sso->user();
        echo $user === null ? 'Belum masuk: /login' : '<p>Halo, ' . htmlspecialchars($user['name']) . '</p>' . $this->sso->logout_form();
    }

    public function login()
    {
        $this->load->library('sso');
        header('Location: ' . $this->sso->client()->loginUrl('/'), true, 303);
    }
}
